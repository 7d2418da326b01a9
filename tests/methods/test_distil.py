"""Distillation is zero against oneself, and what it is by hand otherwise."""

import pytest
import torch

from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import Row
from amlora.methods.lfpt5 import divergence, only, with_vectors
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


def test_gradients_flow_to_the_student_alone():
    teacher, student = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0))
    teacher.requires_grad_(True)
    student.requires_grad_(True)
    divergence(teacher, student).backward()
    assert teacher.grad is None
    # d KL / d student's logits = student's probabilities - teacher's
    expected = student.softmax(-1) - teacher.softmax(-1)
    torch.testing.assert_close(student.grad, expected.detach())


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
