"""Run a command so that signals and faults end it in the same way, whatever it is.

An interrupt is one line and exit status 130, also while the commands are imported.
"""

import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType

from amlora.cli import rank, terminal
from amlora.cli.main import INTERRUPTED, SIGNALS

WRONG_INPUT = 2


def start(words: Sequence[str]) -> None:
    """Run the command line and exit; `words` are those after the program's name."""
    with listening(words):
        try:
            terminal.ready()
            rank.stop_without_launcher()
            from amlora.cli.app import run

            status = run(words)
        except KeyboardInterrupt:
            status = INTERRUPTED
        if status == INTERRUPTED:
            tell_interrupted(words)
        if status not in (0, WRONG_INPUT):
            rank.let_the_first_speak()
    sys.exit(status)


@contextmanager
def listening(words: Sequence[str]) -> Iterator[None]:
    """Turn signals into `KeyboardInterrupt` inside, or leave at once where that could get lost.

    Those that whoever started this process lets be ignored stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():  # Python lets no other do so
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        if importing(frame):
            tell_interrupted(words)
            os._exit(INTERRUPTED)
        raise KeyboardInterrupt

    old = {number: signal.getsignal(number) for number in SIGNALS}
    heard = [number for number in SIGNALS if old[number] is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, old[number] or signal.SIG_DFL)


def importing(frame: FrameType | None) -> bool:
    """Tell whether a module is being imported; some of them catch or distort what is raised."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def show_fault(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a fault of the program with its traceback, as everything is printed."""
    terminal.tell("".join(traceback.format_exception(kind, error, trace)).rstrip())


def tell_interrupted(words: Sequence[str]) -> None:
    """Print the line for an interrupt, if it is this process that speaks."""
    if not rank.number():
        terminal.tell(interrupted(words))


def interrupted(words: Sequence[str]) -> str:
    """Return the line for an interrupt, with the command that goes on where it stopped if any."""
    if not words or words[0] not in ("run", "grid", "learn"):
        return "amlora: interrupted."
    if rank.processes() > 1:
        return "amlora: interrupted; to go on, give the same command again, launcher and all."
    # --force would throw away what is done.
    again = [word for word in words if word != "--force"]
    return f"amlora: interrupted; to go on: {shlex.join(['amlora', *again])}"
