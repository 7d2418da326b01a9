"""Stop at a step's end: the first Ctrl-C or SIGTERM asks for it, the second stops at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A run was stopped by its user; the same command goes on from its checkpoint."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"stopped; the same command goes on from {folder}.")
        self.folder = folder


class Stop:
    """Whether the user asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Listen for signals inside; outside the main thread Python lets nobody listen."""

        def ask(number: int, frame: FrameType | None) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True
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
