"""Replay keeps what its settings say, and reads it again in later stages only."""

import dataclasses
from collections import Counter

import pytest
import torch

from amlora.engine.encode import Row
from amlora.methods.base import Stage
from amlora.methods.replay import completed, evenly, reservoir
from amlora.streams.task import Task
from methods.learning import STAGES, answers, learn, make


def classes(**counts: int) -> list[str]:
    return [name for name, count in counts.items() for _ in range(count)]


def stage_of(golds: list[str], *, options: tuple[str, ...] | None = None) -> Stage:
    """Return a stage of rows with the given gold answers; options name its source's."""
    rows = [Row("task", str(i), (1, 40), (90, 2), gold) for i, gold in enumerate(golds)]
    if options is None:
        return Stage(0, "task", rows, 1)
    source = Task(name="task", instruction="", options=options, train=(), dev=(), test=())
    return Stage(0, "task", rows, 1, (source,))


def kept(folder, stage: Stage, **options) -> list[Row]:
    method = make(folder, "replay", **options)
    method.end(stage)
    return method.stored_examples()


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_reservoir_keeps_each_row_with_the_same_chance():
    times = Counter(i for seed in range(3000) for i in reservoir(20, 5, generator(seed)))
    assert sum(times.values()) == 3000 * 5
    # 750 of each are expected, with a standard deviation of 24.
    assert set(times) == set(range(20))
    assert all(abs(count - 750) < 110 for count in times.values())


@pytest.mark.parametrize(("total", "count"), [(20, 5), (3, 5), (5, 5), (7, 0)])
def test_a_reservoir_holds_different_rows_and_no_more_than_there_are(total, count):
    chosen = reservoir(total, count, generator(0))
    assert len(chosen) == len(set(chosen)) == min(total, count)


def test_a_missing_class_is_completed_by_any_of_its_rows():
    golds = classes(common=6, rare=4)
    times = Counter(completed([0, 1], golds, generator(seed))[2] for seed in range(1000))
    assert set(times) == {6, 7, 8, 9}
    assert all(abs(count - 250) < 70 for count in times.values())
    assert completed([0, 9], golds, generator(0)) == [0, 9]


def test_two_per_cent_are_kept_by_default(llama_folder):
    rows = kept(llama_folder, stage_of(classes(a=300, b=300)))
    assert len(rows) == 12
    assert {row.gold for row in rows} == {"a", "b"}
    assert len(set(rows)) == 12


def test_every_class_is_kept_even_where_the_fraction_has_no_room_for_it(llama_folder):
    golds = classes(a=95, b=2, c=1, d=1, e=1)
    for selection in ("reservoir", "per_class"):
        rows = kept(llama_folder, stage_of(golds), selection=selection)
        assert {row.gold for row in rows} == set("abcde")
        assert len(rows) <= 2 + 4


def test_classes_are_kept_evenly_as_far_as_their_rows_reach(llama_folder):
    golds = classes(a=80, b=18, c=2)
    rows = kept(llama_folder, stage_of(golds), fraction=0.1, selection="per_class")
    assert Counter(row.gold for row in rows) == {"a": 4, "b": 4, "c": 2}


def test_even_selection_takes_any_row_of_a_class_and_any_class_for_the_remainder():
    golds = classes(a=4, b=4)
    chosen = [evenly(golds, 3, generator(seed)) for seed in range(1000)]
    times = Counter(i for each in chosen for i in each)
    assert all(abs(times[i] - 375) < 80 for i in range(8))
    assert {Counter(golds[i] for i in each)["a"] for each in chosen} == {1, 2}


def test_free_text_has_no_classes(llama_folder):
    golds = [f"answer {i}" for i in range(100)]
    assert len(kept(llama_folder, stage_of(golds, options=()))) == 2
    assert len(kept(llama_folder, stage_of(golds, options=tuple(golds)))) == 100


def test_what_is_kept_depends_on_seed_and_stage(llama_folder):
    stage = stage_of(classes(a=100))
    first = kept(llama_folder, stage, fraction=0.1)
    assert first == kept(llama_folder, stage, fraction=0.1)
    assert first != kept(llama_folder, dataclasses.replace(stage, index=1), fraction=0.1)


@pytest.mark.parametrize(("ratio", "added"), [(0.01, 1), (0.25, 2), (0.5, 4), (1.0, 8), (2.0, 16)])
def test_a_step_reads_its_new_rows_and_the_ratios_share_of_old_ones(llama_folder, ratio, added):
    method = make(llama_folder, "replay", ratio=ratio, fraction=1.0)
    method.end(STAGES[0])
    rows = method.step_rows(STAGES[1], 0, STAGES[1].rows)
    assert list(rows[:8]) == STAGES[1].rows
    assert [row.task for row in rows[8:]] == ["one"] * added


def test_each_step_draws_anew_and_the_same_at_every_call(llama_folder):
    method = make(llama_folder, "replay", fraction=1.0)
    for stage in STAGES[:2]:
        method.end(stage)
    steps = [method.step_rows(STAGES[2], step, STAGES[2].rows)[8:] for step in range(40)]
    assert steps == [method.step_rows(STAGES[2], s, STAGES[2].rows)[8:] for s in range(40)]
    assert Counter(row.task for rows in steps for row in rows).keys() == {"one", "two"}
    assert len({row for rows in steps for row in rows}) == 16


def test_old_rows_are_remembered(llama_folder):
    forgets = make(llama_folder, "seq_ft")
    remembers = make(llama_folder, "replay", fraction=1.0, ratio=1.0)
    right = []
    for method in (forgets, remembers):
        for stage in STAGES[:2]:
            learn(method, dataclasses.replace(stage, steps=20))
        best = answers(method, STAGES[0]).argmax(-1)[:, 0]
        right.append(int((best == STAGES[0].rows[0].answer_ids[0]).sum()))
    assert right == [0, 8]
