"""Stages of a stream with blurred borders: whose rows they hold, in how many steps."""

import pytest

from amlora.engine.encode import Row
from amlora.errors import InputError
from amlora.experiment.borders import plan_stages
from amlora.experiment.run import run
from amlora.experiment.settings import load_settings, settings_from
from amlora.methods.base import Stage
from amlora.streams.task import Example, Task
from small_run import small_settings, write_tasks
from stored import read_record

SIZES = {"a": 10, "b": 20, "c": 5}


def example(index: int) -> Example:
    return Example(text=f"text {index}", label="yes", row=f"train:{index}")


def stages(border: float, method: str = "seq_ft", **train: int) -> list[Stage]:
    tasks = [
        Task(
            name=name,
            instruction="Is it?",
            options=("yes", "no"),
            train=tuple(map(example, range(count))),
            dev=(example(0),),
            test=(example(1),),
        )
        for name, count in SIZES.items()
    ]
    rows = [[Row(t.name, e.row, (1, 2), (3,), e.label) for e in t.train] for t in tasks]
    settings = settings_from(
        {
            "name": "x",
            "method": {"name": method},
            "stream": {"name": "quickstart", "border": border},
            "train": {"batch": 4, **train},
        }
    )
    return plan_stages(settings, tasks, rows, joint=method == "mtl")


def test_neighbours_exchange_the_rows_at_their_border():
    """A fifth of 10, 20 and 5 rows: 2, 4 and 1."""
    counts = [[(task.name, len(task.train)) for task in stage.sources] for stage in stages(0.2)]
    assert counts == [
        [("a", 8), ("b", 4)],
        [("a", 2), ("b", 12), ("c", 1)],
        [("b", 4), ("c", 4)],
    ]
    assert [stage.task for stage in stages(0.2)] == ["a", "b", "c"]


def test_sources_hold_exactly_the_rows_of_their_stage_and_no_other_split():
    for stage in stages(0.2):
        listed = [(task.name, e.row) for task in stage.sources for e in task.train]
        assert listed == [(row.task, row.row) for row in stage.rows]
        assert not any(task.dev or task.test for task in stage.sources)


def test_every_row_is_learned_once():
    learned = [(row.task, row.row) for stage in stages(0.3) for row in stage.rows]
    every = {(name, f"train:{i}") for name, count in SIZES.items() for i in range(count)}
    assert len(learned) == len(every) and set(learned) == every


def test_steps_follow_from_the_rows_of_the_stage():
    assert [stage.steps for stage in stages(0.2)] == [3, 4, 2]  # of 12, 15 and 8 rows
    assert [stage.steps for stage in stages(0.2, steps=7)] == [7, 7, 7]


def test_without_a_border_a_stage_is_its_task_alone():
    for stage in stages(0.0):
        assert [task.name for task in stage.sources] == [stage.task]
        assert {row.task for row in stage.rows} == {stage.task}


def test_a_method_that_learns_all_tasks_at_once_has_no_borders_to_blur():
    with pytest.raises(InputError, match=r"^stream.border: mtl learns all tasks in one stage"):
        stages(0.2, "mtl")
    assert len(stages(0.0, "mtl")) == 1


@pytest.mark.parametrize("method", ["am_lora", "replay", "per_task_ft"])
def test_a_run_learns_blurred_stages_and_scores_each_task_as_ever(tmp_path, any_folder, method):
    write_tasks(tmp_path / "data")
    (tmp_path / "small.toml").write_text(small_settings(tmp_path / "data", any_folder))
    blurred = load_settings(tmp_path / "small.toml", ["stream.border=0.25"], method)
    record = read_record(run(blurred, runs=tmp_path / "runs"))
    assert [(stage["task"], stage["rows"]) for stage in record["stages"]] == [
        ("feel", 8),
        ("topic", 8),
    ]
    assert [task["scored"] for task in record["tasks"]] == [8, 8]
