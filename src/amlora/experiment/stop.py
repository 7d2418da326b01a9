"""Stop at a step's end: the first Ctrl-C or SIGTERM asks for it, a later one stops at once."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor

AGAIN = 1.0
"""Seconds within which signals are one request: a launcher may pass on what was sent to all."""


class Interrupted(KeyboardInterrupt):
    """A run was stopped by its user; the same command goes on from its checkpoint."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"stopped; the same command goes on from {folder}.")
        self.folder = folder


class Stop:
    """Whether the user asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def anywhere(self, accelerator: Accelerator) -> bool:
        """Tell whether any process was asked; all of them must come here, and hear the same."""
        if accelerator.num_processes == 1:
            return self.asked
        asked = torch.tensor(float(self.asked), device=accelerator.device)
        return cast(Tensor, accelerator.reduce(asked, "sum")).item() > 0

    @contextmanager
    def listening(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Listen for signals inside; outside the main thread Python lets nobody listen."""
        first = 0.0

        def ask(number: int, frame: FrameType | None) -> None:
            nonlocal first
            if self.asked:
                if time.monotonic() - first > AGAIN:
                    raise KeyboardInterrupt
                return
            self.asked, first = True, time.monotonic()
            tell("stopping at the end of this step; once more to stop at once.")

        with handled(signal.SIGINT, ask), handled(signal.SIGTERM, ask):
            yield


@contextmanager
def handled(
    number: signal.Signals, handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Handle one signal inside."""
    try:
        old = signal.signal(number, handler)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(number, old)
