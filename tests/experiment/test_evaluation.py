"""Which tasks a run scores, moment by moment, and which stages answered them."""

import json
from pathlib import Path

import pytest

from amlora.evaluate.course import Course, at_once, one_by_one
from amlora.experiment.evaluation import routing, to_score
from amlora.experiment.run import run
from amlora.experiment.settings import load_settings
from amlora.records.schema import Routing
from small_run import small_settings, write_tasks
from stored import read_record

STAGES = 4
EACH = one_by_one(STAGES)


def moments(scope, course: Course = EACH) -> list[list[int]]:
    """What is scored before learning and after each stage, of four tasks."""
    before = to_score(scope, "before", -1, course)
    after = [to_score(scope, "learned", k, course) for k in range(course.stages)]
    return [list(places) for places in (before, *after)]


def test_each_scope_scores_what_it_says():
    everything = [0, 1, 2, 3]
    assert moments("all") == [everything] * 5
    assert moments("needed") == [everything, [0, 1], [0, 1, 2], everything, everything]
    assert moments("learned") == [[], [0], [0, 1], [0, 1, 2], everything]
    assert moments("ends") == [[], [0], [1], [2], everything]


@pytest.mark.parametrize("scope", ["learned", "ends"])
def test_tasks_learned_at_once_are_all_scored_at_the_end(scope):
    assert moments(scope, at_once(STAGES)) == [[], [0, 1, 2, 3]]


def test_found_stages_score_the_tasks_whose_rows_they_learned():
    """The first border is found late, the second is missed, and one more is no border."""
    found = Course(stages=5, first=(1, 1, 2, 4), learned=(1, 2, 2, 5))
    everything = [0, 1, 2, 3]
    assert moments("all", found) == [everything] * 6
    seen = [[0, 1], [0, 1, 2], [0, 1, 2], everything, everything]
    assert moments("learned", found) == [[], *seen]
    assert moments("needed", found) == [everything, [0, 1, 2], *[everything] * 4]
    assert moments("ends", found) == [[], [0], [1, 2], [], [], everything]
    assert list(to_score("all", "entered", 3, found)) == [0, 1, 2]


@pytest.mark.parametrize(("scope", "scored"), [("all", 2), ("needed", 2), ("learned", 0)])
def test_newcomers_are_scored_only_where_all_moments_are(scope, scored):
    assert len(to_score(scope, "entered", 2, EACH)) == scored


def test_a_run_that_scores_less_has_the_same_scores_where_it_has_any(
    tmp_path: Path, llama_folder: Path
):
    write_tasks(tmp_path / "data")
    path = tmp_path / "small.toml"
    path.write_text(small_settings(tmp_path / "data", llama_folder))
    records = {}
    for scope in ("needed", "learned", "ends"):
        made = load_settings(path, [f"evaluate.scope={scope}", f"name={scope}"])
        records[scope] = read_record(run(made, runs=tmp_path / "runs"))
    whole = records["needed"]
    for scope in ("learned", "ends"):
        part = records[scope]
        assert part["R"][0] == [None, None]
        for row, full in zip(part["R"][1:], whole["R"][1:], strict=True):
            assert all(value in (None, other) for value, other in zip(row, full, strict=True))
        assert part["metrics"] == {**whole["metrics"], "fwt": None}


def line(after, task, stages, phase="learned"):
    row = {"phase": phase, "after": after, "task": task, "row": "1"}
    return json.dumps(row if stages is None else {**row, "stages": stages}).encode() + b"\n"


def test_the_last_evaluation_counts_task_by_task():
    rows = b"".join(
        [
            line(-1, "a", None, "before"),
            line(0, "a", {"a": 1.0}),
            line(1, "a", {"a": 1.0}),
            line(1, "a", {"none": 1.0}),
            line(1, "b", {"a": 0.25, "b": 0.75}),
        ]
    )
    assert routing(rows, ["a", "b"]) == Routing(
        stages=("none", "a", "b"),
        tasks=("a", "b"),
        shares=((0.5, 0.5, 0.0), (0.0, 0.25, 0.75)),
    )


def test_rows_without_stages_have_no_routing():
    assert routing(line(0, "a", None), ["a"]) is None
