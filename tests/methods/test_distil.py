"""Distillation is zero against oneself, and what it is by hand otherwise."""

import math
from itertools import pairwise

import pytest
import torch

from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import Row
from amlora.methods.parts.distil import divergence, drift, only, with_vectors
from amlora.methods.parts.prompts import behind

ROWS = [
    Row("one", "0", (5, 40, 60), (90, 91, 2), "x"),
    Row("one", "1", (5, 41), (92, 2), "y"),
    Row("two", "0", (5, 42, 61, 62, 63), (2,), "z"),
]


@pytest.fixture
def prompted(soft):
    """A model with three soft vectors, a batch that it reads behind them, and its logits."""
    backbone, embedding, vectors, ids = soft
    batch = collate(behind(ROWS, ids), backbone, share=1 / 6)
    with torch.no_grad():
        return backbone, embedding, vectors, batch, target_logits(backbone, batch).float()


def test_the_divergence_is_what_it_is_by_hand():
    teacher = torch.tensor([[0.5, 0.5], [0.9, 0.1]]).log() + 3  # logits: any constant may be added
    student = torch.tensor([[0.25, 0.75], [0.9, 0.1]]).log()
    by_hand = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert divergence(teacher, student).item() == pytest.approx(by_hand, abs=1e-6)
    other_way = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert divergence(student, teacher).item() == pytest.approx(other_way, abs=1e-6)


def test_the_divergence_from_oneself_is_exactly_zero_and_from_others_positive():
    logits = 5 * torch.randn(20, 50, generator=torch.Generator().manual_seed(0))
    assert divergence(logits, logits.clone()).item() == 0
    assert all(divergence(a[None], b[None]) > 0 for a, b in pairwise(logits))


def test_gradients_flow_to_the_student_alone():
    teacher, student = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0))
    teacher.requires_grad_(True)
    student.requires_grad_(True)
    divergence(teacher, student).backward()
    assert teacher.grad is None
    # d KL / d student's logits = student's probabilities - teacher's
    expected = student.softmax(-1) - teacher.softmax(-1)
    torch.testing.assert_close(student.grad, expected.detach())


def test_a_prompt_has_not_drifted_from_itself_but_from_another(prompted):
    backbone, embedding, vectors, batch, logits = prompted
    everything = range(len(ROWS))
    assert drift(backbone, embedding, vectors, batch, logits, everything).item() == 0
    assert drift(backbone, embedding, vectors + 1, batch, logits, everything) > 0.01


def test_only_the_chosen_rows_count(prompted):
    backbone, embedding, vectors, batch, logits = prompted

    def of(*chosen: int) -> torch.Tensor:
        return drift(backbone, embedding, vectors + 1, batch, logits, chosen)

    assert of().item() == 0
    torch.testing.assert_close(of(0, 2), of(0) + of(2))
    assert of(1) > 0 and of(0, 1, 2) > of(0, 2)


def test_some_rows_of_a_batch_keep_their_padding(prompted):
    backbone, _, _, batch, logits = prompted
    part = only(batch, [2, 0])
    assert [row.row for row in part.rows] == [batch.rows[2].row, batch.rows[0].row]
    assert {name: each.shape[1] for name, each in part.inputs.items()} == {
        name: each.shape[1] for name, each in batch.inputs.items()
    }
    with torch.no_grad():
        torch.testing.assert_close(target_logits(backbone, part), logits[[2, 0]])


def test_other_vectors_are_read_in_eval_mode_and_then_put_back(prompted):
    backbone, embedding, vectors, batch, logits = prompted
    backbone.model.train()
    with with_vectors(backbone, embedding, vectors + 1):
        assert not backbone.model.training and not torch.is_grad_enabled()
        assert not torch.equal(target_logits(backbone, batch), logits)
    assert backbone.model.training and torch.is_grad_enabled()
    assert embedding.vectors() is vectors
