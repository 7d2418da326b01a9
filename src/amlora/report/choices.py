"""Choices of learning rates as a grid keeps them in a store, with how each candidate went."""

from pathlib import Path

import msgspec

from amlora import files
from amlora.formats import typed


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A rate that was tried, and its run."""

    rate: float
    run: str = ""
    """The run's folder; "" where it diverged."""
    score: float | None = None
    """On the first task's dev rows, 0..1; None where it diverged."""
    loss: float | None = None
    """Mean training loss of the last tenth of the steps."""
    problem: str = ""
    """How it diverged."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A choice with its grounds."""

    label: str
    method: str
    rate: float
    task_digest: str
    model: str
    candidates: tuple[Candidate, ...]
    grid: str
    rule: str
    task: str
    """The first task, which alone was learned."""
    order: str = ""


def read_choices(store: Path) -> list[Choice]:
    """Read the choices of all grids of a store, by name.

    Raises:
        InputError: one is altered, or is no choice.
    """
    found: list[Choice] = []
    for path in sorted(store.glob("grids/*/choices/*.json")):
        found.append(typed(path, files.read_sealed(path), Choice))
    return found
