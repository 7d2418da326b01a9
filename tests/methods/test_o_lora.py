"""O-LoRA's terms are those of the authors' code, and its two products are the sum of all LoRAs."""

import pytest
import torch
from torch import nn

from amlora.methods.o_lora import OLoRA, OLoRASettings, overlap
from methods.learning import STAGES, learn
from trained import load_base


def o_lora(folder, **options) -> OLoRA:
    return OLoRA(load_base(folder), OLoRASettings(**options), seed=0)


def grown(folder, **options) -> OLoRA:
    """Return a method in its third stage, all LoRAs random, before the first step."""
    method = o_lora(folder, **options)
    torch.manual_seed(3)
    for stage in STAGES:
        method.begin(stage)
        for layer in method.mixture.layers.values():
            layer.bank.b[layer.bank.rows(stage.index)] = torch.randn(8, layer.bank.b.shape[1])
    method.before_step(STAGES[2], 0)
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


def test_orthogonal_rows_have_a_term_of_exactly_zero(any_folder):
    method = grown(any_folder)
    for layer in method.mixture.layers.values():
        with torch.no_grad():
            # Rows of even and odd unit vectors.
            a, width = layer.bank.a, layer.bank.a.shape[1]
            a.zero_()
            for row in range(24):
                a[row, 2 * (row % 8) + (row >= 16)] = 1.0 + row
            assert width >= 16
    assert method.penalty()["orthogonality"].item() == 0


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


def test_a_stronger_term_makes_a_new_lora_more_orthogonal(any_folder):
    left = {}
    for strength in (0.0, 0.5):
        method = o_lora(any_folder, strength=strength)
        learn(method, STAGES[0])
        learn(method, STAGES[1])
        banks = [layer.bank for layer in method.mixture.layers.values()]
        left[strength] = sum(float(overlap(bank.a[:8], bank.a[8:])) for bank in banks)
    assert left[0.5] < 0.5 * left[0.0]


def test_two_products_do_what_a_literal_sum_of_all_loras_does(any_folder):
    method = grown(any_folder)
    torch.manual_seed(0)
    for layer in method.mixture.layers.values():
        layer.double().eval()
        a, b = layer.bank.a, layer.bank.b
        x = torch.randn(5, a.shape[1], dtype=torch.float64)
        literal = layer.base(x)
        for index in range(3):
            rows = slice(8 * index, 8 * index + 8)
            literal = literal + 32.0 / 8 * (x @ a[rows].T) @ b[rows]
        # The authors' form: one frozen LoRA of rank 16 beside the new one of rank 8.
        concatenated = layer.base(x) + 4 * (x @ a[:16].T) @ b[:16] + 4 * (x @ a[16:].T) @ b[16:]
        torch.testing.assert_close(layer(x), literal, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(layer(x), concatenated, rtol=1e-12, atol=1e-12)


def test_overlap_is_a_sum_of_absolute_values_not_of_squares():
    old = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    new = nn.Parameter(torch.tensor([[3.0, 1.0]]))
    assert overlap(old, new).item() == 5 + 1
