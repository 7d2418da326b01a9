"""Calls that an executor makes in other processes; light, because those import it by name."""

import os
import signal
import time
from pathlib import Path


def place() -> tuple[int, str]:
    """Return this process's id, and how many threads it may compute with."""
    return os.getpid(), os.environ.get("OMP_NUM_THREADS", "")


def wait_to_be_stopped(file: Path) -> str:
    """Write a file, wait for a signal, and say so, as a run that saves its state."""
    heard: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: heard.append(number))
    file.write_text(str(os.getpid()))
    deadline = time.monotonic() + 60
    while not heard and time.monotonic() < deadline:
        time.sleep(0.01)
    Path(f"{file}.saved").write_text("")
    return "saved" if heard else "not stopped"


def interrupted() -> None:
    """End as a run does that was asked to stop."""
    raise KeyboardInterrupt


def die(status: int) -> None:
    """End this process at once, minus a signal's number by that signal."""
    if status < 0:
        os.kill(os.getpid(), -status)
    os._exit(status)


def die_hard(file: Path) -> None:
    """Write a file, and heed no signal that can be ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    file.write_text("")
    time.sleep(60)
