"""Which of several launched processes this is: all of them run the command, only the first speaks.

A launcher tells each process its number by environment variables; accelerate reads the same ones.
"""

import os
import signal
import threading
import time

NUMBERS = {  # a process's number, and how many there are: torchrun and accelerate, then MPI
    "RANK": "WORLD_SIZE",
    "PMI_RANK": "PMI_SIZE",
    "OMPI_COMM_WORLD_RANK": "OMPI_COMM_WORLD_SIZE",
    "MV2_COMM_WORLD_RANK": "MV2_COMM_WORLD_SIZE",
}
LAUNCHED = "TORCHELASTIC_RUN_ID"  # set by torchrun, and by accelerate through it
PATIENCE = 2.0  # seconds
GRACE = 120.0
"""Seconds for a step and a checkpoint; a process that still waits for others hears no signal."""


def processes() -> int:
    """Return how many processes were launched together."""
    return max(stated(size) or 1 for size in NUMBERS.values())


def number() -> int:
    """Return this process's number, 0 for the one that speaks."""
    if processes() == 1:
        return 0
    return next((stated(name) for name in NUMBERS if name in os.environ), 0)


def stated(name: str) -> int:
    """Return the number in an environment variable, 0 where there is none."""
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() else 0


def stop_without_launcher() -> None:
    """Ask this process to stop when its launcher dies.

    Nobody else would end it, and it may wait for the other processes for an hour.
    """
    if LAUNCHED in os.environ and processes() > 1:
        threading.Thread(target=stop_after, args=(os.getppid(),), daemon=True).start()


def stop_after(parent: int) -> None:
    """Wait until the parent is another one, ask to stop, and stop where nobody listens."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def let_the_first_speak() -> None:
    """Wait a little before leaving: at one process's exit, its launcher ends all the others."""
    if number():
        time.sleep(PATIENCE)
