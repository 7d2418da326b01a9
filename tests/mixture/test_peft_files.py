"""Each task's folder is a plain LoRA: the `peft` library reads it and computes what we compute."""

import pytest
import torch

from amlora.engine.backbone import base_of
from amlora.mixture.inject import find_targets, inject
from amlora.mixture.layer import Control
from amlora.mixture.manifest import Base
from amlora.mixture.save import save_skills
from amlora.mixture.version import verify
from mixture.cases import alone, tiny_model
from trained import NAMES, SHAPES, cards, load_base, logits, trained

peft = pytest.importorskip("peft")
# peft asks transformers for a property under its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


def test_peft_gives_each_loras_output_at_full_weight(any_folder, tmp_path):
    backbone, mixture = trained(any_folder)
    save_skills(tmp_path, mixture, base=base_of(backbone), tasks=cards(), scores={})
    plain = logits(load_base(any_folder))
    for index, lora in enumerate(verify(tmp_path).loras):
        config = peft.PeftConfig.from_pretrained(tmp_path / lora.folder)
        assert (lora.name, config.r, config.lora_alpha) == (NAMES[index], *SHAPES[index])
        assert config.base_model_name_or_path == str(any_folder)
        ours, theirs = load_base(any_folder), load_base(any_folder)
        single = alone(ours.model, mixture, index)
        theirs.model = peft.PeftModel.from_pretrained(theirs.model, tmp_path / lora.folder).eval()
        effect = (logits(ours) - plain).abs().max()
        assert effect > 0.1
        # Rounding grows from layer to layer, so the whole model is compared loosely...
        assert (logits(theirs) - logits(ours)).abs().max() < 1e-3 * effect
        # ...and each layer to the last digits of a scale in float32.
        modules = dict(theirs.model.named_modules())
        torch.manual_seed(index)
        for name, layer in single.layers.items():
            x = torch.randn(7, layer.bank.a.shape[1], dtype=torch.float64)
            other = modules[f"base_model.model.{name}"].double()
            torch.testing.assert_close(layer.double()(x), other(x), rtol=1e-6, atol=1e-6)


def test_peft_reads_a_lora_of_gpt2s_transposed_layers(tmp_path):
    tokens, plain, source = torch.arange(20)[None], tiny_model("gpt2"), tiny_model("gpt2")
    mixture = inject(source, find_targets(source, "gpt2"), Control(combine="sum"))
    mixture.grow("one", rank=4, alpha=8, start="zeros", seed=0)
    for layer in mixture.layers.values():
        layer.bank.b.normal_(0, 0.3)
    names = {"name": "gpt2", "model_type": "gpt2", "family": "decoder-only"}
    base = Base(**names, revision="", fingerprint="", tokenizer="")  # pyright: ignore
    save_skills(tmp_path, mixture, base=base, tasks=[], scores={})
    lora = tmp_path / verify(tmp_path).loras[0].folder
    theirs = peft.PeftModel.from_pretrained(tiny_model("gpt2"), lora)
    with torch.no_grad():
        ours = source(tokens).logits
        torch.testing.assert_close(theirs(tokens).logits, ours, rtol=1e-4, atol=1e-4)
        assert (ours - plain(tokens).logits).abs().max() > 0.1
