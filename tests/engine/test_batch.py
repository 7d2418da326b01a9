"""Batches: who is in them, how they are padded, and what their loss is."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from amlora.engine.batch import (
    IGNORED,
    collate,
    length,
    micro_batches,
    plan,
    steps_of,
    task_loss,
)
from amlora.engine.encode import Row
from trained import load_base

LENGTHS = [3, 9, 4, 4, 7, 12, 5, 3, 8, 6, 11]


def rows(lengths=LENGTHS) -> list[Row]:
    return [
        Row("t", str(i), tuple(range(10, 10 + n)), (30 + i, *[40] * (i % 3), 2), "x")
        for i, n in enumerate(lengths)
    ]


@given(
    count=st.integers(1, 60),
    batch=st.integers(1, 9),
    bucketed=st.booleans(),
    seed=st.integers(0, 9),
)
def test_an_epoch_holds_every_row_once(count, batch, bucketed, seed):
    made = rows([3 + i % 5 for i in range(count)])
    steps = steps_of(count, batch, 1.0, None)
    batches = plan(made, batch=batch, steps=steps, seed=seed, stage=0, bucketed=bucketed)
    assert sorted(i for chosen in batches for i in chosen) == list(range(count))
    assert len(batches) == steps


def test_a_plan_is_a_pure_function_of_seed_and_stage():
    def made(seed, stage):
        return plan(rows(), batch=2, steps=9, seed=seed, stage=stage, bucketed=True)

    assert made(1, 0) == made(1, 0)
    assert made(1, 0) != made(2, 0)
    assert made(1, 0) != made(1, 1)


def test_a_longer_plan_begins_like_a_shorter_one():
    short, long = (plan(rows(), batch=2, steps=n, seed=0, stage=0, bucketed=True) for n in (4, 20))
    assert long[:4] == short


@pytest.mark.parametrize(
    ("count", "batch", "epochs", "steps", "expected"),
    [(16, 8, 1.0, None, 2), (17, 8, 1.0, None, 3), (16, 8, 0.5, None, 1), (5, 8, 1.0, 7, 7)],
)
def test_steps_of_a_stage(count, batch, epochs, steps, expected):
    assert steps_of(count, batch, epochs, steps) == expected


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_share_a_step_without_losing_a_row(llama_folder, processes):
    backbone = load_base(llama_folder)
    names = [
        row.row
        for process in range(processes)
        for batch in micro_batches(rows(), backbone, size=2, process=process, processes=processes)
        for row in batch.rows
    ]
    assert sorted(names) == sorted(row.row for row in rows())


def test_padding_does_not_change_a_rows_loss(any_folder):
    backbone = load_base(any_folder)
    together = collate(rows(), backbone, share=1.0)
    with torch.inference_mode():
        joint = task_loss(backbone, together)
        alone = sum(task_loss(backbone, collate([row], backbone, share=1.0)) for row in rows())
    torch.testing.assert_close(joint, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tokens", [1, 12, 40, None])
def test_a_micro_batch_holds_no_more_tokens_than_allowed_unless_one_row_has_more(
    any_folder, tokens
):
    backbone = load_base(any_folder)
    made = rows()
    batches = micro_batches(made, backbone, size=4, tokens=tokens)
    assert sorted(row.row for batch in batches for row in batch.rows) == sorted(
        row.row for row in made
    )
    for batch in batches:
        padded = len(batch.rows) * max(map(length, batch.rows))
        assert len(batch.rows) == 1 or (padded <= (tokens or padded) and len(batch.rows) <= 4)
    # No two neighbours would have fitted together.
    for first, second in pairwise(batches):
        padded = (len(first.rows) + 1) * length(second.rows[0])
        assert len(first.rows) == 4 or (tokens is not None and padded > tokens)
    with torch.inference_mode():
        parts = sum(task_loss(backbone, batch) for batch in batches)
        whole = collate(made, backbone, share=1 / sum(len(row.answer_ids) for row in made))
        torch.testing.assert_close(parts, task_loss(backbone, whole), rtol=1e-4, atol=1e-4)


def test_the_loss_is_the_models_own_cross_entropy(llama_folder):
    backbone = load_base(llama_folder)
    row = rows()[5]
    ids = torch.tensor([row.prompt_ids + row.answer_ids])
    with torch.inference_mode():
        logits = backbone.model(ids).logits[0, len(row.prompt_ids) - 1 : -1]
        expected = F.cross_entropy(logits, torch.tensor(row.answer_ids))
        ours = task_loss(backbone, collate([row], backbone, share=1 / len(row.answer_ids)))
    torch.testing.assert_close(ours, expected)


def test_labels_follow_the_answers_and_not_the_pad_token(llama_folder):
    backbone = load_base(llama_folder)
    pad = Row("t", "0", (5, 6), (backbone.pad_id, 2), "x")
    batch = collate([pad, *rows()[:2]], backbone, share=1.0)
    assert batch.labels[0].tolist()[-2:] == [backbone.pad_id, 2]
    assert (batch.labels != IGNORED).sum() == sum(len(r.answer_ids) for r in batch.rows)
