"""Start the process of a cell, hear how far it is, stop it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol

CODE = "import sys; from amlora.experiment.grid_child import main; sys.exit(main(sys.argv[1:]))"
KEPT = 4000  # last letters of what it writes to standard error
PIECE = 65536  # bytes read at a time


class Worker(Protocol):
    """The process of a cell."""

    output: "Output"
    """What it writes."""

    def status(self) -> int | None:
        """Return the exit status, minus the signal's number where one ended it; None: at work."""

    def stop(self, number: signal.Signals) -> None:
        """Send a signal."""

    def close(self) -> None:
        """Let go of the pipes of a process that has ended."""


class Process:
    """A worker in a fresh interpreter and a session of its own.

    A terminal's Ctrl-C therefore reaches the grid alone, which passes it on once. Should the grid
    die, the pipe to standard input closes, and the worker stops by itself.
    """

    def __init__(self, store: Path, cell: str, threads: int) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", CODE, str(store), cell],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
        assert self.popen.stdout and self.popen.stderr
        self.output = Output(self.popen.stdout.fileno(), self.popen.stderr.fileno())

    def status(self) -> int | None:
        """Return how it ended, if it has."""
        return self.popen.poll()

    def stop(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.popen.send_signal(number)

    def close(self) -> None:
        """Let go of the pipes."""
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            assert pipe is not None
            pipe.close()


class Output:
    """What a worker writes to two pipes: how far it is, and what went wrong.

    Attributes:
        fraction: how much of the training is done, 0..1, when `read` was last called.
        said: the end of what it wrote to standard error.
    """

    def __init__(self, progress: int, errors: int) -> None:
        self.progress, self.errors = progress, errors
        for handle in (progress, errors):
            os.set_blocking(handle, False)
        self.fraction, self.said, self.half = 0.0, "", ""

    def read(self) -> None:
        """Take all that is there; never waits."""
        *lines, self.half = (self.half + taken(self.progress)).split("\n")
        for line in lines:
            try:
                self.fraction = float(line)
            except ValueError:  # some library printed something
                self.said += line + "\n"
        self.said = (self.said + taken(self.errors))[-KEPT:]


def taken(handle: int) -> str:
    """Return what waits in a pipe, "" where there is nothing or its writer is gone."""
    pieces: list[bytes] = []
    while True:
        try:
            piece = os.read(handle, PIECE)
        except BlockingIOError:
            break
        if not piece:
            break
        pieces.append(piece)
    return b"".join(pieces).decode(errors="replace")
