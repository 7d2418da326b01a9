"""Finished runs with their rows, small enough to work out by hand.

Hits are written as strings: {"a": "110", "b": "10"} are a task `a` with the right
answer in the end to its first two test rows of three, and a task `b` with one of two.
"""

from collections.abc import Mapping
from pathlib import Path

from amlora import files
from stored import write_record


def share(hits: str) -> float:
    """Return the share of right answers."""
    return hits.count("1") / len(hits)


def line(phase: str, after: int, task: str, row: int, hit: bool) -> dict[str, object]:
    """Return a row of rows.jsonl."""
    return {
        **{"phase": phase, "after": after, "task": task, "row": f"test:{row}", "hit": hit},
        **{"how": "pass", "answer": None, "gold": "yes"},
    }


def write_run(
    parent: Path,
    method: str,
    last: Mapping[str, str],
    *,
    seed: int = 0,
    first: str = "",
    name: str = "",
    label: str = "",
    stream: str = "a7",
    split: str = "test",
    reverse: bool = False,
) -> Path:
    """Write the folder of a run of two tasks in a folder of runs.

    `last` are hits after the second stage, by task; `first` those of the first task after its own
    stage, by default the same; `label` tells settings of one method apart; `stream` is a byte of
    the digest of its tasks; `reverse` writes the rows from the last to the first.
    """
    one, two = last
    learned = first or last[one]
    matrix = [
        [0.0, 0.0],
        [share(learned), None],
        [share(last[one]), share(last[two])],
    ]
    # Right answers before the last stage, and while it begins, must not count in the end.
    rows = [line("before", -1, task, row, False) for task in last for row in range(len(last[task]))]
    rows += [line("learned", 0, one, row, hit == "1") for row, hit in enumerate(learned)]
    rows += [line("entered", 1, one, row, True) for row in range(len(last[one]))]
    rows += [
        line("learned", 1, task, row, hit == "1")
        for task, hits in last.items()
        for row, hit in enumerate(hits)
    ]
    folder = parent / f"{name or method}-{label}{stream}-{seed}"
    lines = "".join(files.line(each) + "\n" for each in (rows[::-1] if reverse else rows))
    settings = {
        **{"name": name or method, "seed": seed, "note": label},
        **{"train": {"lr": 1e-3}, "evaluate": {"split": split}},
    }
    sizes = {task: len(hits) for task, hits in last.items()}
    digest = stream * 32
    return write_record(
        folder, settings, sizes, matrix, method=method, lines=lines, stream_digest=digest
    )


def change(folder: Path, **changed: object) -> None:
    """Write a run's record again, with other values and its seal."""
    record = files.read_json(folder / "record.json")
    del record["digest"]
    files.write_sealed(folder / "record.json", record | changed)
