"""Choices of learning rates as a grid keeps them in a store, with how each candidate went."""

from pathlib import Path

import msgspec

from amlora import files
from amlora.errors import InputError
from amlora.report.methods_table import Candidate, Choice


class FullCandidate(Candidate, frozen=True, kw_only=True):
    """A rate that was tried, and its run."""

    run: str = ""
    """The run's folder; "" where it diverged."""
    score: float | None = None
    """On the first task's dev rows, 0..1; None where it diverged."""
    loss: float | None = None
    """Mean training loss of the last tenth of the steps."""
    problem: str = ""
    """How it diverged."""


class FullChoice(Choice, frozen=True, kw_only=True):
    """A choice with its grounds."""

    grid: str
    rule: str
    task: str
    """The first task, which alone was learned."""
    order: str = ""
    candidates: tuple[FullCandidate, ...]


def read_full_choices(store: Path) -> list[FullChoice]:
    """Read the choices of all grids of a store, by name.

    Raises:
        InputError: one is altered, or is no choice.
    """
    found: list[FullChoice] = []
    for path in sorted(store.glob("grids/*/choices/*.json")):
        try:
            found.append(msgspec.convert(files.read_sealed(path), FullChoice))
        except msgspec.ValidationError as error:
            raise InputError(f"{path}: {' '.join(str(error).split())}.") from None
    return found
