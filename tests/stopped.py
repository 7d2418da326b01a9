"""Displays that listen to a run, and one that stops it as Ctrl-C does."""

import os
import signal
from collections.abc import Mapping

from amlora.experiment.reporter import Silent


class Listening(Silent):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class StopAt(Silent):
    """Sends this process a signal after so many steps: SIGINT asks to stop, SIGKILL does not."""

    def __init__(self, steps: int, number: signal.Signals = signal.SIGINT) -> None:
        self.left = steps
        self.number = number

    def step(
        self, step: int, steps: int, terms: Mapping[str, float], tokens_per_second: float
    ) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)
