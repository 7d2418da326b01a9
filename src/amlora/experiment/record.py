"""What a run leaves behind, put together: the same bits for the same run.

A record holds results and what decides them, and nothing that differs between two equal runs.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from amlora.engine.checkpoint import RunProgress
from amlora.evaluate.lost import Lost
from amlora.evaluate.metrics import summary
from amlora.records.schema import Identity, Metrics, Record, TaskFacts
from amlora.streams.task import Task, majority


def task_facts(task: Task, split: str, lost: Mapping[str, Lost]) -> TaskFacts:
    """Return what a record says of a task.

    Args:
        task: its rows.
        split: the one whose rows are scored.
        lost: what tokenising lost of its texts, by split.
    """
    scored = task.test if split == "test" else task.dev
    return TaskFacts(
        name=task.name,
        category=task.category,
        options=task.options,
        majority=majority(scored),
        scored=len(scored),
        digest=task.digest(),
        train=len(task.train),
        dev=len(task.dev),
        test=len(task.test),
        lost=dict(lost),
    )


def build_record(*, identity: Identity, progress: RunProgress, **beside: Any) -> Record:
    """Put a record together.

    Args:
        identity: what decides the result.
        progress: matrices and counts so far.
        beside: what a finished run knows besides, by the record's field: digests and `routing`.
    """
    found, sizes = identity.boundaries, [task.scored for task in identity.tasks]
    metrics = summary(progress.R, sizes, found.course if found else None)
    return Record.model_validate(
        {
            **dict(identity),
            "R": progress.R,
            "entered": progress.entered,
            "stages": progress.stages,
            "metrics": Metrics.model_validate(metrics),
            "evaluation": progress.evaluation,
            "general": progress.general,
            "rows_digest": None,
            **beside,
        }
    )


def tenths(values: Sequence[float]) -> list[float]:
    """Return the mean of each tenth of a list, of each value where there are fewer than ten."""
    parts = min(10, len(values))
    edges = [len(values) * i // parts for i in range(parts + 1)] if parts else []
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
