"""What a run leaves behind: `record.json`, the same bits for the same run, and its row files.

`record.json` holds results and what decides them, and nothing that differs between two equal runs;
times and versions are in `measured.json`. Its format is described in docs/format.md.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from amlora.engine.checkpoint import RunProgress
from amlora.evaluate.course import of_found
from amlora.evaluate.lost import Lost
from amlora.evaluate.metrics import summary
from amlora.streams.task import Task, TaskStream, majority

FORMAT = 1
RECORD = "record.json"
"""The record's file; its presence says that a run is finished."""


def task_entry(task: Task, split: str, lost: Mapping[str, Lost]) -> dict[str, Any]:
    """Return what a record says of a task.

    Args:
        task: its rows.
        split: the one whose rows are scored.
        lost: what tokenising lost of its texts, by split.
    """
    scored = task.test if split == "test" else task.dev
    return {
        "name": task.name,
        "category": task.category,
        "options": list(task.options),
        "majority": majority(scored),
        "scored": len(scored),
        "digest": task.digest(),
        "train": len(task.train),
        "dev": len(task.dev),
        "test": len(task.test),
        "lost": {name: found.model_dump() for name, found in lost.items()},
    }


def build_record(
    *,
    identity: Mapping[str, Any],
    stream: TaskStream,
    lost: Sequence[Mapping[str, Lost]],
    progress: RunProgress,
    texts: Mapping[str, str] | None = None,
    rows_digest: str | None = None,
    attention_digest: str | None = None,
    config_digest: str | None = None,
    routing: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Put a record together.

    Args:
        identity: what decides the result; see `prepare.identity`.
        stream: the tasks.
        lost: what tokenising lost of each one's texts.
        progress: matrices and counts so far; without `general` where that is not measured.
        texts: sha256 of the files that the method leaves for a reader, by name.
        rows_digest, attention_digest, config_digest: sha256 of the files beside the record; None
            while it runs.
        routing: see `routing.routing`; the record of a method without routes does not mention it.
    """
    split = identity["settings"]["evaluate"]["split"]
    tasks = [task_entry(task, split, of) for task, of in zip(stream.tasks, lost, strict=True)]
    sizes = [task["scored"] for task in tasks]
    found = identity.get("boundaries")
    record = {
        "format": FORMAT,
        **identity,
        "tasks": tasks,
        "R": progress.R,
        "entered": progress.entered,
        "stages": [stage.model_dump() for stage in progress.stages],
        "metrics": summary(progress.R, sizes, found and of_found(found)),
        "evaluation": [each.model_dump() for each in progress.evaluation],
        "texts": dict(texts or {}),
        "rows_digest": rows_digest,
        "attention_digest": attention_digest,
        "config_digest": config_digest,
    }
    if routing is not None:
        record["routing"] = dict(routing)
    if progress.general:
        record["general"] = [each.model_dump(exclude_none=True) for each in progress.general]
    return record


def tenths(values: Sequence[float]) -> list[float]:
    """Return the mean of each tenth of a list, of each value where there are fewer than ten."""
    parts = min(10, len(values))
    edges = [len(values) * i // parts for i in range(parts + 1)] if parts else []
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
