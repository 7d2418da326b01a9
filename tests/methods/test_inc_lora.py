"""IncLoRA is the plain sum of all tasks' LoRAs, as the `peft` library computes it."""

import pytest
import torch
from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.methods.inc_lora import IncLoRA
from amlora.methods.lora import LoRASettings, OneLoRASettings
from methods.learning import STAGES, with_random_loras
from trained import load_base, logits

NAMES = [stage.task for stage in STAGES]
RANK, ALPHA = 4, 6.0


def inc_lora(folder, **options) -> IncLoRA:
    settings = OneLoRASettings(lora=LoRASettings(rank=RANK, alpha=ALPHA, **options))
    return IncLoRA(load_base(folder), settings, seed=0)


def grown(folder) -> IncLoRA:
    """Return a method with three different random LoRAs in every layer."""
    method = inc_lora(folder)
    with_random_loras(method, STAGES, size=0.2)
    method.end(STAGES[-1])
    method.backbone.model.eval()
    return method


def in_peft(folder, method: IncLoRA) -> Backbone:
    """Return a fresh model that holds the same LoRAs as peft adapters, all of them active."""
    peft = pytest.importorskip("peft")
    assert method.mixture is not None
    backbone = load_base(folder)
    targets = list(method.mixture.layers)
    config = peft.LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets)
    model = peft.get_peft_model(backbone.model, config, adapter_name=NAMES[0])
    for name in NAMES[1:]:
        model.add_adapter(name, config)
    modules: dict[str, nn.Module] = dict(model.named_modules())
    with torch.no_grad():
        for target, layer in method.mixture.layers.items():
            theirs = modules[f"base_model.model.{target}"]
            for index, name in enumerate(NAMES):
                rows = layer.bank.rows(index)
                theirs.get_parameter(f"lora_A.{name}.weight").copy_(layer.bank.a[rows])
                theirs.get_parameter(f"lora_B.{name}.weight").copy_(layer.bank.b[rows].T)
    model.base_model.set_adapter(NAMES)
    backbone.model = model.eval()
    return backbone


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize(("kind", "close"), [(torch.float64, 1e-10), (torch.float32, 1e-3)])
def test_it_answers_as_peft_does_with_all_adapters_active(any_folder, kind, close):
    method = grown(any_folder)
    theirs = in_peft(any_folder, method)
    plain = logits(load_base(any_folder))
    method.backbone.model.to(kind)  # pyright: ignore[reportArgumentType]
    theirs.model.to(kind)  # pyright: ignore[reportArgumentType]
    ours = logits(method.backbone)
    assert ours.dtype == kind and (ours - plain).abs().max() > 0.5
    torch.testing.assert_close(ours, logits(theirs), rtol=0, atol=close)


def test_what_is_stored_grows_by_one_lora_a_task(any_folder):
    method = inc_lora(any_folder)
    stored: list[int] = []
    for stage in STAGES:
        method.begin(stage)
        stored.append(method.stored_parameters())
    assert method.mixture is not None
    sizes = [layer.bank for layer in method.mixture.layers.values()]
    one = sum(RANK * (bank.a.shape[1] + bank.b.shape[1]) for bank in sizes)
    assert stored == [one, 2 * one, 3 * one]


def test_a_layer_is_the_literal_sum_of_equation_2(any_folder):
    method = grown(any_folder)
    assert method.mixture is not None
    for layer in method.mixture.layers.values():
        layer.double()
        x = torch.randn(3, layer.bank.a.shape[1], dtype=torch.float64)
        expected: Tensor = layer.base(x)
        for index in range(3):
            a, b = (stack[layer.bank.rows(index)] for stack in layer.bank.stacks()[:2])
            expected = expected + ALPHA / RANK * x @ a.T @ b
        torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)
