"""What of a method did next to nothing in a stage, as lines for a person and for the record."""

from collections.abc import Mapping

from amlora.engine.train import Progress
from amlora.methods.base import LITTLE, Method, Stage


def means(progress: Progress) -> dict[str, float]:
    """Return each loss term's mean over a stage's steps; a step without a term counts as 0."""
    return {name: total / progress.step for name, total in (progress.terms or {}).items()}


def weak_terms(terms: Mapping[str, float]) -> list[str]:
    """Name the terms that are a small part of the task's loss.

    Args:
        terms: means by name; "task" is the task's loss.
    """
    task = abs(terms.get("task", 0.0))
    return [
        f"the term {name!r} was {100 * abs(mean) / task:.2g} % of the task's loss, so it did next"
        " to nothing."
        for name, mean in terms.items()
        if name != "task" and abs(mean) < LITTLE * task
    ]


def nothing_kept(method: Method, stage: Stage) -> list[str]:
    """Say so where a method that learns old examples again has none at a later stage's start."""
    if stage.index and method.stores_examples and not method.stored_examples():
        return ["no example of an earlier task was kept, so none is learned again."]
    return []
