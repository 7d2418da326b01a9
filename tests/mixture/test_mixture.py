"""The mixture of a whole model, and its agreement with PEFT."""

import pytest
import torch
from torch import nn

from amlora.errors import InputError
from amlora.mixture.inject import find_targets, inject
from amlora.mixture.layer import Control
from amlora.mixture.mixture import Mixture, selected
from mixture.cases import random_layer, tiny_model

IDS = torch.arange(3, 13).view(2, 5)


def adapted(**settings) -> tuple[nn.Module, Mixture]:
    model = tiny_model("llama")
    return model, inject(model, find_targets(model, "llama"), Control(**settings))


def grow(mixture, *names, rank=2, seed=0):
    for name in names:
        mixture.grow(name, rank=rank, alpha=4.0, start="uniform", seed=seed)


def learn(mixture, seed=0):
    """Give every B random numbers, as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    for layer in mixture.layers.values():
        layer.bank.b.normal_(generator=generator)


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def test_growing_depends_on_seed_layer_and_index_alone():
    (_, one), (_, two), (_, other) = adapted(), adapted(), adapted()
    torch.manual_seed(5)
    grow(one, "a", "b")
    torch.manual_seed(6)
    grow(two, "c", "d")
    grow(other, "a", "b", seed=1)
    stacks = one.tensors()
    assert all(torch.equal(stacks[name], tensor) for name, tensor in two.tensors().items())
    assert not any(torch.equal(stacks[n], t) for n, t in other.tensors().items() if n[-1] != "b")
    firsts = [x for layer in one.layers.values() for x in layer.bank.a[[0, 2], 0].tolist()]
    assert len(set(firsts)) == len(firsts) == 8  # every layer's and LoRA's start is its own
    grow(one, "c", rank=3)
    assert (len(one), one.names) == (3, ["a", "b", "c"])
    assert one.shapes() == ([2, 2, 3], [4.0, 4.0, 4.0])


@pytest.mark.parametrize(("choice", "selectors"), [("all", 2), ("new", 1), ("none", 0)])
def test_trained_parameters_are_listed_by_kind(choice, selectors):
    model, mixture = adapted()
    grow(mixture, "a", "b")
    assert [p for p in model.parameters() if p.requires_grad] == []
    mixture.train_newest(choice)
    assert [len(p) for p in mixture.lora_parameters()] == [2, 2] * 4
    assert [len(p) for p in mixture.selector_parameters()] == [selectors] * (4 if selectors else 0)
    mixture.freeze()
    assert mixture.lora_parameters() == mixture.selector_parameters() == []


def test_sparsity_sums_all_selectors_of_all_layers():
    _, mixture = adapted()
    grow(mixture, "a", "b")
    for layer in mixture.layers.values():
        layer.bank.w.fill_(-0.5)
    widths = sum(2 * layer.bank.w.shape[1] for layer in mixture.layers.values())
    torch.testing.assert_close(mixture.sparsity(), torch.tensor(0.5 * widths))


@pytest.mark.parametrize("choice", ["all", "new", "none"])
def test_the_gradient_of_sparsity_is_the_sign_of_trained_selectors(choice):
    layer = random_layer([2, 2], trained=choice)
    mixture = Mixture({"layer": layer}, Control())
    assert torch.equal(selected(layer), layer.bank.w)
    value = mixture.sparsity()
    if choice == "none":
        assert not value.requires_grad
        return
    value.backward()
    assert layer.bank.w_tail is not None and layer.bank.w_tail.grad is not None
    assert torch.equal(layer.bank.w_tail.grad, layer.bank.w_tail.detach().sign())


def test_a_restored_mixture_is_a_copy_that_answers_with_the_same_bits():
    model, mixture = adapted()
    grow(mixture, "a", "b")
    learn(mixture)
    other, twin = adapted()
    twin.restore(mixture.names, *mixture.shapes(), mixture.tensors())
    before = logits(model)
    assert torch.equal(logits(other), before)
    assert twin.names == ["a", "b"]
    assert [p for p in other.parameters() if p.requires_grad] == []
    learn(twin, seed=1)
    assert torch.equal(logits(model), before) and not torch.equal(logits(other), before)


@pytest.mark.parametrize("fault", ["missing", "shape"])
def test_a_wrong_tensor_is_named_and_nothing_is_replaced(fault):
    _, mixture = adapted()
    grow(mixture, "a")
    tensors = mixture.tensors()
    name = "model.layers.1.self_attn.v_proj.b"
    if fault == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name][:, 1:]
    message = {"missing": f"{name}: missing", "shape": rf"{name}: shape \(2, 7\), expected"}
    _, twin = adapted()
    with pytest.raises(InputError, match=message[fault]):
        twin.restore(["a"], *mixture.shapes(), tensors)
    assert all(len(layer.bank) == 0 for layer in twin.layers.values())


def test_scores_are_recorded_inside_alone_and_start_uniform():
    model, mixture = adapted()
    grow(mixture, "a", "b")
    with mixture.recording(lambda *_: torch.ones_like(IDS)) as recorder:
        model(input_ids=IDS)
    model(input_ids=IDS[:, :3])  # a mask of another shape would be refused
    assert [tally.tokens for tally in recorder.tallies.values()] == [10] * 4
    for tally in recorder.tallies.values():
        assert tally.mean() == pytest.approx([1 / 3] * 3)
    with pytest.raises(KeyError), mixture.recording(lambda *_: torch.ones_like(IDS)):
        raise KeyError
    assert mixture.control.recorder is None


@pytest.mark.filterwarnings("ignore")  # PEFT's own
@pytest.mark.parametrize("loras", [1, 3])
def test_sum_equals_peft_with_all_adapters_active(loras):
    peft = pytest.importorskip("peft", reason="PEFT is the oracle here; install amlora[peft]")
    ours, mixture = adapted(combine="sum")
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"])
    names = [f"task{index}" for index in range(loras)]
    theirs = peft.get_peft_model(tiny_model("llama"), config, adapter_name=names[0])
    for name in names[1:]:
        theirs.add_adapter(name, config)
    grow(mixture, *names)
    learn(mixture)
    for layer_name, layer in mixture.layers.items():
        other = theirs.base_model.model.get_submodule(layer_name)
        for index, name in enumerate(names):
            rows = layer.bank.rows(index)
            other.lora_A[name].weight.data.copy_(layer.bank.a[rows])
            other.lora_B[name].weight.data.copy_(layer.bank.b[rows].T)
    theirs.base_model.set_adapter(names)
    torch.testing.assert_close(logits(ours), logits(theirs))
    assert not torch.allclose(logits(ours), logits(tiny_model("llama")))
