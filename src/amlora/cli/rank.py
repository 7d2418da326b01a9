"""Which of several launched processes this is: all of them run the command, only the first speaks.

A launcher tells each process its number by environment variables; accelerate reads the same ones.
"""

import os
import time

NUMBERS = {  # a process's number, and how many there are: torchrun and accelerate, then MPI
    "RANK": "WORLD_SIZE",
    "PMI_RANK": "PMI_SIZE",
    "OMPI_COMM_WORLD_RANK": "OMPI_COMM_WORLD_SIZE",
    "MV2_COMM_WORLD_RANK": "MV2_COMM_WORLD_SIZE",
}
PATIENCE = 2.0  # seconds


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


def let_the_first_speak() -> None:
    """Wait a little before leaving: at one process's exit, its launcher ends all the others."""
    if number():
        time.sleep(PATIENCE)
