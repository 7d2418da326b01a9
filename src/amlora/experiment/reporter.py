"""What a run reports while it works: the interface that `run` calls, and the silent one.

The displays of the command line, bars or plain lines, are in `amlora.cli.progress`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from amlora.records.schema import Record


class Reporter(Protocol):
    """Told of every step of a run; must not raise and must not change what it is given."""

    def stage_started(self, index: int, count: int, task: str, steps: int) -> None:
        """A stage begins: its 1-based index of `count`, the task's name, its optimiser steps."""

    def step(
        self, step: int, steps: int, terms: Mapping[str, float], tokens_per_second: float
    ) -> None:
        """An optimiser step ended: `step` of `steps` (1-based) and the loss's terms by name."""

    def evaluated(self, done: int, total: int, what: str) -> None:
        """`done` of `total` rows are scored; `what` says which, such as a task's name."""

    def stage_finished(self, record: "Record") -> None:
        """A stage is learned and evaluated; `record` is the run's record so far."""

    def note(self, text: str) -> None:
        """Something worth one line."""

    def warn(self, text: str) -> None:
        """Something the user should look at."""


class Silent(Reporter):
    """A reporter that says nothing."""
