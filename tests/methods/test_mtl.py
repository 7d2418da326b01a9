"""MTL reads all tasks in one stage, mixed as its settings say."""

from collections import Counter
from dataclasses import replace

import pytest

from amlora.experiment.prepare import prepare
from amlora.methods.base import Stage
from methods.learning import STAGES, answers, make, rows, train

SIZES = {"one": 8, "two": 3, "three": 5}
TOGETHER = [row for task, count in SIZES.items() for row in rows(task, 100, 90, count)]
STAGE = Stage(0, "all tasks", TOGETHER, 4)


def test_all_tasks_are_one_stage_with_the_steps_of_all(llama_folder, task_settings):
    made = prepare(task_settings(llama_folder, {"name": "mtl"}))
    [stage] = made.stages
    assert stage.steps == 2 * 3
    assert {row.task for row in stage.rows} == {"feel", "topic"}
    assert [task.name for task in stage.sources] == ["feel", "topic"]


def test_proportional_mixing_reads_every_row_once_an_epoch(llama_folder):
    assert make(llama_folder, "mtl").examples(STAGE) == TOGETHER


def test_equal_mixing_repeats_smaller_tasks_to_the_size_of_the_largest(llama_folder):
    mixed = make(llama_folder, "mtl", mixing="equal").examples(STAGE)
    assert Counter(row.task for row in mixed) == dict.fromkeys(SIZES, 8)
    times = Counter(mixed)
    assert set(times) == set(TOGETHER)
    for task, allowed in {"one": {1}, "two": {2, 3}, "three": {1, 2}}.items():
        assert {times[row] for row in TOGETHER if row.task == task} == allowed


def test_which_rows_come_once_more_is_decided_by_the_seed_and_not_by_tasks_names(llama_folder):
    method = make(llama_folder, "mtl", mixing="equal")
    renamed = [replace(row, task=f"my {row.task}") for row in TOGETHER]
    chosen: set[tuple[str, ...]] = set()
    for method.seed in range(20):
        numbers = [row.row for row in method.examples(STAGE)]
        assert [row.row for row in method.examples(replace(STAGE, rows=renamed))] == numbers
        chosen.add(tuple(numbers))
    assert len(chosen) > 5


@pytest.mark.parametrize("trainable", ["all", "lora"])
def test_it_learns_all_tasks_at_once(any_folder, trainable):
    method = make(any_folder, "mtl", trainable=trainable, mixing="equal")
    together = [row for stage in STAGES for row in stage.rows[: 8 - 2 * stage.index]]
    stage = Stage(0, "all tasks", together, 60)
    method.begin(stage)
    train(method, stage)
    method.end(stage)
    for each in STAGES:
        best = answers(method, each, told=False).argmax(-1)
        assert (best[:, 0] == each.rows[0].answer_ids[0]).all()
