"""MeanLoRA is AM-LoRA without attention: selectors at zero that never learn."""

import pytest
import torch

from methods.learning import STAGES, answers, learn, make


def test_it_learns_what_am_lora_with_zero_untrained_selectors_learns(any_folder):
    ours = make(any_folder, "mean_lora")
    theirs = make(any_folder, "am_lora", start="zeros", selectors="none", sparsity=0.0)
    assert ours.mixture is not None and theirs.mixture is not None
    for stage in STAGES:
        learn(ours, stage)
        learn(theirs, stage)
        twin = theirs.mixture.tensors()
        for name, tensor in ours.mixture.tensors().items():
            torch.testing.assert_close(tensor, twin[name], rtol=0, atol=1e-5)
        assert any(tensor.abs().max() > 1e-2 for tensor in ours.mixture.tensors().values())
    for stage in STAGES:
        close = answers(theirs, stage)
        torch.testing.assert_close(answers(ours, stage), close, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("loras", [1, 2, 3])
def test_every_lora_counts_one_of_n_plus_1(any_folder, loras):
    method = make(any_folder, "mean_lora")
    torch.manual_seed(0)
    assert method.mixture is not None
    for stage in STAGES[:loras]:
        method.begin(stage)
    method.end(STAGES[loras - 1])
    for layer in method.mixture.layers.values():
        layer.bank.b.normal_()
        layer.double().eval()
        x = torch.randn(3, layer.bank.a.shape[1], dtype=torch.float64)
        a, b = layer.bank.stacks()[:2]
        expected = layer.base(x) + 4.0 / (loras + 1) * (x @ a.T) @ b
        torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_a_newcomer_takes_its_share_before_it_has_learned(any_folder):
    method = make(any_folder, "mean_lora")
    assert not method.begin_changes_answers(STAGES[0])
    learn(method, STAGES[0])
    before = answers(method, STAGES[0])
    method.begin(STAGES[1])
    assert method.begin_changes_answers(STAGES[1])
    assert not torch.allclose(answers(method, STAGES[0]), before, atol=1e-3)
