"""The recorder: means over the tokens that count, by hand."""

import math

import pytest
import torch

from amlora.mixture.arrow import Way
from amlora.mixture.layer import Control
from amlora.mixture.scores import Recorder, Tally
from mixture.cases import random_layer, specified

SCORES = torch.tensor([[0.2, 0.8], [0.05, 0.95], [0.5, 0.5], [0.92, 0.08]])
MASK = torch.tensor([[1, 1], [0, 1]])


def entropy(*shares):
    return -sum(share * math.log(share) for share in shares)


def recorder(mask=MASK):
    return Recorder(lambda *_: mask)


def tally_of(scores, mask=MASK, *, loras=1, combine: Way = "attention") -> Tally:
    record = recorder(mask)
    record.add("q", scores, torch.ones(*mask.shape, 5), loras, combine)
    return record.tallies["q"]


def test_sums_are_over_the_tokens_of_the_mask():
    tally = tally_of(SCORES)
    assert tally.tokens == 3
    assert tally.mean() == pytest.approx([(0.2 + 0.05 + 0.92) / 3, (0.8 + 0.95 + 0.08) / 3])
    assert tally.decided == 2  # one score is above nine tenths
    by_hand = [entropy(0.2, 0.8), entropy(0.05, 0.95), entropy(0.92, 0.08)]
    assert tally.effective == pytest.approx(sum(map(math.exp, by_hand)))
    assert tally_of(torch.tensor([[1.0, 0.0]]), torch.ones(1, 1)).effective == 1.0


def test_batches_add_up():
    both, halves = recorder(), recorder()
    both.add("q", SCORES, torch.ones(2, 2, 5), 1, "attention")
    for row in (0, 1):
        halves.mask_of = lambda *_, row=row: MASK[row : row + 1]
        halves.add("q", SCORES[2 * row : 2 * row + 2], torch.ones(1, 2, 5), 1, "attention")
    one, two = both.tallies["q"], halves.tallies["q"]
    assert (one.tokens, one.decided) == (two.tokens, two.decided)
    torch.testing.assert_close(one.total, two.total)
    assert one.effective == pytest.approx(two.effective)
    assert (one.rows, one.largest.tolist()) == (two.rows, two.largest.tolist())


@pytest.mark.parametrize(
    ("combine", "mean", "effective"), [("sum", [0.0, 1, 1, 1], 3), ("mean", [0.25] * 4, 4)]
)
def test_fixed_scores_are_known_beforehand(combine, mean, effective):
    tally = tally_of(torch.zeros(0), loras=3, combine=combine)
    assert tally.mean() == pytest.approx(mean)
    assert tally.effective == pytest.approx(3 * effective)


def test_a_row_belongs_to_the_lora_with_the_largest_mean_score_over_its_own_tokens():
    # The zero LoRA does not compete; the second row is the second LoRA's by its mean alone.
    rows = [[[0.0, 0.0, 1.0], [0.6, 0.3, 0.1]], [[0.1, 0.5, 0.4], [0.1, 0.1, 0.8]]]
    mask = torch.tensor([[0, 1], [1, 1]])
    tally = tally_of(torch.tensor(rows).reshape(4, 3), mask, loras=2)
    assert (tally.rows, tally.largest.tolist()) == (2, [1.0, 1.0])
    # Equal scores share a row.
    assert tally_of(torch.zeros(0), loras=4, combine="mean").largest.tolist() == [0.5] * 4


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"q: input is \(1, 2\), the mask \(2, 2\)"):
        recorder().add("q", SCORES[:2], torch.ones(1, 2, 5), 1, "attention")


@pytest.mark.parametrize(
    ("ranks", "newcomer"), [([2, 3], 0.0), ([2, 3], -math.inf), ([2], -math.inf)]
)
def test_a_layer_records_the_references_scores(ranks, newcomer):
    record = Recorder(lambda *_: torch.ones(2, 3))
    layer = random_layer(ranks, control=Control(newcomer=newcomer, recorder=record))
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    layer(x)
    _, scores = specified(layer, x, layer.bank.stacks())
    torch.testing.assert_close(record.tallies["layer"].total, scores.sum((0, 1)))
