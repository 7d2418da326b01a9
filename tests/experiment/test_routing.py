"""Which stages answered, summed up from the rows of the last evaluation."""

import json

from amlora.experiment.evaluation import routing
from amlora.records.schema import Routing


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
