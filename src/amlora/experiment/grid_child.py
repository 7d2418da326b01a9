"""The process of one cell: takes its lease, does its run as `amlora run` does, notes how it ended.

It tells how far it is on standard output. Its standard input is a pipe that nobody writes to: when
its other end closes, the process that started it is gone, and the run stops at the end of its step.
"""

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from amlora import files
from amlora.engine.train import NonFiniteLoss
from amlora.errors import InputError
from amlora.experiment import grid_store as cells
from amlora.experiment.reporter import Silent
from amlora.experiment.run import run
from amlora.experiment.settings import load_settings

DONE, FAILED, BUSY, STOPPED = 0, 1, 75, 130


class Fraction(Silent):
    """Writes the share of training steps done, 0..1, a line each."""

    def __init__(self) -> None:
        self.before, self.count = 0, 1  # stages

    def stage_started(self, index: int, count: int, task: str, steps: int) -> None:
        """Note the stage."""
        self.before, self.count = index - 1, count

    def step(
        self, step: int, steps: int, terms: Mapping[str, float], tokens_per_second: float
    ) -> None:
        """Write a line; nobody may be there to read it."""
        done = (self.before + step / steps) / self.count
        with suppress(OSError):
            os.write(1, f"{done:.4f}\n".encode())


def main(words: Sequence[str]) -> int:
    """Work on a cell; `words` are the store's folder and the cell's id. Return the exit status."""
    store, cell = Path(words[0]), words[1]
    threading.Thread(target=stop_when_alone, daemon=True).start()
    with ExitStack() as held:
        try:
            held.enter_context(files.lock(cells.cell_folder(store, cell)))
        except InputError:
            return BUSY
        files.sweep(cells.cell_folder(store, cell))
        return work(store, cell)


def stop_when_alone() -> None:
    """Wait until the other end of standard input closes, then ask this process to stop."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def work(store: Path, cell: str) -> int:
    """Do a cell's run, the lease being held."""
    cells.forget_failure(store, cell)
    cells.keep_run(store, cell, None)
    try:
        settings = load_settings(cells.cell_folder(store, cell) / cells.SETTINGS)
        done = run(settings, runs=store, progress=Fraction())
    except KeyboardInterrupt:
        return STOPPED
    except InputError as error:
        return failed(store, cell, "input", error)
    except NonFiniteLoss as error:
        return failed(store, cell, "diverged", error)
    except Exception as error:
        return failed(store, cell, "error", error)
    cells.keep_run(store, cell, done.name)
    return DONE


def failed(store: Path, cell: str, kind: cells.Kind, error: Exception) -> int:
    """Note a failure; where the disk refuses even that, the last line of output tells it."""
    reason = str(error) or type(error).__name__
    if kind == "error":
        reason = f"{type(error).__name__}: {error}"
    with suppress(OSError):
        os.write(2, f"{' '.join(reason.split())}\n".encode(errors="backslashreplace"))
    cells.keep_failure(store, cell, kind, reason, error if kind == "error" else None)
    return FAILED
