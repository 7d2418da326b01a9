"""O-LoRA's terms are those of the authors' code; its layers are IncLoRA's (`test_common`)."""

import pytest
import torch

from amlora.methods.o_lora import OLoRA, OLoRASettings
from methods.learning import STAGES, with_random_loras
from trained import load_base


def o_lora(folder, **options) -> OLoRA:
    return OLoRA(load_base(folder), OLoRASettings(**options), seed=0)


def grown(folder, **options) -> OLoRA:
    """Return a method in its third stage, all LoRAs random, before the first step."""
    method = o_lora(folder, **options)
    with_random_loras(method, STAGES)
    return method


def test_the_term_is_a_literal_double_loop_over_rows_of_old_and_new(any_folder):
    method = grown(any_folder, strength=0.25)
    expected = 0.0
    for layer in method.mixture.layers.values():
        a = layer.bank.a.double()
        for old in a[:16]:  # two frozen LoRAs of rank 8
            for new in a[16:]:
                expected += abs(float(old @ new))
    found = method.penalty()
    assert list(found) == ["orthogonality"]
    assert found["orthogonality"].item() == pytest.approx(0.25 * expected, rel=1e-5)


def test_the_terms_gradient_reaches_the_new_a_alone(any_folder):
    method = grown(any_folder, strength=2.0)
    method.penalty()["orthogonality"].backward()
    for layer in method.mixture.layers.values():
        bank = layer.bank
        assert bank.a_tail is not None and bank.b_tail is not None
        old, new = bank.a[:16], bank.a[16:]
        expected = 2.0 * (old @ new.T).sign().T @ old
        torch.testing.assert_close(bank.a_tail.grad, expected)
        assert bank.b_tail.grad is None
        assert bank.a.grad is None
    reached = [n for n, w in method.backbone.model.named_parameters() if w.grad is not None]
    assert reached and all(name.endswith("a_tail") for name in reached)


def test_the_second_term_is_the_sum_of_norms_of_the_new_matrices(any_folder):
    method = grown(any_folder, strength=0, l2=0.5)
    expected = 0.0
    for layer in method.mixture.layers.values():
        for stack in (layer.bank.a, layer.bank.b):
            expected += 0.5 * float(stack[16:].double().square().sum().sqrt())
    found = method.penalty()
    assert list(found) == ["l2"]
    assert found["l2"].item() == pytest.approx(expected, rel=1e-5)


def test_the_norm_of_a_b_that_is_still_zero_has_a_gradient(any_folder):
    method = o_lora(any_folder, l2=0.5)
    method.begin(STAGES[0])
    method.before_step(STAGES[0], 0)
    method.penalty()["l2"].backward()
    tails = method.mixture.lora_parameters()
    assert all(tail.grad is not None and torch.isfinite(tail.grad).all() for tail in tails)
