"""Runs in processes of their own that get killed; a server that has imported everything forks them.

Kept apart from the tests because the processes import it by name.
"""

import multiprocessing
import signal
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

from amlora.experiment.reporter import Silent
from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings, load_settings, to_toml
from amlora.methods import METHODS
from broken_disk import Kills, disk
from stopped import StopAt

LONGEST = 120.0
"""Seconds after which a process is thought to hang."""
IMPORTED = [
    *("pytest", "killed", "deeds", "amlora.experiment.run"),
    *(place.partition(":")[0] for place in METHODS.values()),
    *("transformers.models.llama.modeling_llama", "transformers.models.t5.modeling_t5"),
]


@dataclass(frozen=True)
class Kill:
    """When a run's process is killed with signal 9; at no time, unless one of them is given."""

    step: int = 0
    """After that many optimiser steps of this process."""
    operation: int = 0
    """In the middle of that operation on a file."""
    seconds: float = 0.0
    """That long after its start."""


def work(file: str, runs: str, threads: int, kill: Kill) -> None:
    """Do a run in this process."""
    torch.set_num_threads(threads)
    progress = StopAt(kill.step, signal.SIGKILL) if kill.step else Silent()
    settings = load_settings(Path(file))
    if kill.operation:
        with disk(Kills(kill.operation)):
            run(settings, runs=Path(runs), progress=progress)
    else:
        run(settings, runs=Path(runs), progress=progress)


def start(settings: RunSettings, runs: Path, *, threads: int, kill: Kill) -> ForkServerProcess:
    """Start a run's process."""
    runs.mkdir(parents=True, exist_ok=True)
    file = runs / "settings.toml"
    file.write_text(to_toml(settings))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    process = context.Process(target=work, args=(str(file), str(runs), threads, kill))
    process.start()
    return process


def killed(
    settings: RunSettings, runs: Path, kill: Kill = Kill(), *, threads: int | None = None
) -> bool:
    """Do a run in a process of its own; tell whether it was killed before it came to its end.

    Torch computes with as many threads there as here, if no number is given.
    """
    threads = torch.get_num_threads() if threads is None else threads
    process = start(settings, runs, threads=threads, kill=kill)
    process.join(kill.seconds or LONGEST)
    if process.is_alive():
        assert kill.seconds, f"the run in {runs} hangs"
        process.kill()
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL), f"exit code {process.exitcode} in {runs}"
    return process.exitcode == -signal.SIGKILL


def bits(folder: Path) -> dict[str, bytes]:
    """Return the deterministic files of a finished run."""
    return {name: (folder / name).read_bytes() for name in ("record.json", "rows.jsonl")}
