"""The specification, against the paper's equations written out LoRA by LoRA."""

import math

import pytest
import torch
from torch import Tensor

from amlora.mixture import reference
from mixture.cases import COMBINES, random_inputs


def by_hand(x: Tensor, a: Tensor, b: Tensor, w: Tensor, scales: list[float]) -> tuple[Tensor, ...]:
    """Equations 4 and 5 for one token and LoRAs of rank 2, in plain numbers."""
    blocks = zip(scales, a.split(2), b.split(2), strict=True)
    features = [scale * b_i.T @ (a_i @ x) for scale, a_i, b_i in blocks]
    powers = [1.0, *(math.exp(float(w[i] @ feature)) for i, feature in enumerate(features))]
    scores = torch.tensor(powers, dtype=torch.float64) / sum(powers)
    mixed = torch.stack([scores[i + 1] * feature for i, feature in enumerate(features)]).sum(0)
    return mixed, scores


def test_one_token_equals_the_equations_written_out():
    x, a, b, w, spread = (tensor.detach() for tensor in random_inputs([2, 2, 2], shape=()))
    out, scores = reference.mix(x, a, b, w, spread)
    torch.testing.assert_close((out, scores), by_hand(x, a, b, w, [0.5, 0.75, 1.0]))


def test_every_token_is_weighed_for_itself():
    inputs = random_inputs([2, 2], shape=(3, 4))
    out, scores = reference.mix(*inputs)
    one, one_scores = reference.mix(inputs.x[1, 2], *inputs[1:])
    torch.testing.assert_close((out[1, 2], scores[1, 2]), (one, one_scores))


def test_sum_adds_the_loras_at_full_weight():
    x, a, b, w, spread = random_inputs([1, 3])
    out, scores = reference.mix(x, a, b, w, spread, combine="sum")
    plain = (x @ a[:1].T * 0.5) @ b[:1] + (x @ a[1:].T * 0.75) @ b[1:]
    torch.testing.assert_close(out, plain)
    assert scores.tolist() == [[0.0, 1.0, 1.0]] * 7


def test_mean_is_the_sum_divided_by_all_loras_and_attention_with_selectors_of_zero():
    x, a, b, w, spread = random_inputs([2, 2, 2])
    total, _ = reference.mix(x, a, b, w, spread, combine="sum")
    mean, scores = reference.mix(x, a, b, w, spread, combine="mean")
    torch.testing.assert_close(mean, total / 4)
    assert scores.tolist() == [[0.25] * 4] * 7
    attention = reference.mix(x, a, b, torch.zeros_like(w), spread)
    torch.testing.assert_close(attention, (mean, scores))


@pytest.mark.parametrize("combine", COMBINES)
def test_gain_multiplies_the_output_and_not_the_scores(combine):
    inputs = random_inputs([2, 3])
    once, scores = reference.mix(*inputs, combine=combine)
    thrice, same = reference.mix(*inputs, combine=combine, gain=3.0)
    torch.testing.assert_close(thrice, 3 * once)
    assert torch.equal(same, scores)


def test_a_newcomer_at_minus_infinity_is_as_if_it_were_not_there():
    x, a, b, w, spread = random_inputs([2, 2, 3])
    out, scores = reference.mix(x, a, b, w, spread, newcomer=-math.inf)
    old, old_scores = reference.mix(x, a[:4], b[:4], w[:2], spread[:2, :4])
    torch.testing.assert_close((out, scores[:, :3]), (old, old_scores))
    assert scores[:, 3].tolist() == [0.0] * 7


def test_a_newcomers_offset_is_added_to_its_logit():
    inputs = random_inputs([2, 2])
    _, plain = reference.mix(*inputs)
    _, shifted = reference.mix(*inputs, newcomer=-0.7)
    change = (shifted[:, 2] / shifted[:, 0]).log() - (plain[:, 2] / plain[:, 0]).log()
    torch.testing.assert_close(change, torch.full_like(change, -0.7))


def test_scores_are_at_least_float32():
    assert reference.mix(*random_inputs([2], dtype=torch.bfloat16))[1].dtype == torch.float32
    assert reference.mix(*random_inputs([2]))[1].dtype == torch.float64


def test_sparsity_is_the_sum_of_absolute_values():
    assert reference.sparsity(torch.tensor([[1.0, -2.0], [0.0, 0.5]])) == 3.5
