"""Grids of tiny runs, swept in processes of their own that can be killed.

A sweep's process is forked from a server that has imported everything, and forks its cells' worker
processes in turn, so that none of them waits for imports. Kept apart from the tests because the
processes import it by name.
"""

import json
import multiprocessing
import os
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

from amlora.experiment import grid_child
from amlora.experiment.grid_file import load_grid
from amlora.experiment.grid_item import Bench, Item
from amlora.experiment.grid_process import Output
from amlora.experiment.grid_sweep import Overview, Sweep
from killed import IMPORTED
from small_run import small_settings, write_tasks

LONGEST = 180.0
"""Seconds after which a sweep is thought to hang."""
TWO_SEEDS = """
base = "base.toml"
seeds = [0, 1]
[[methods]]
name = "sin_lora"
method.lora.rank = 2
[[methods]]
name = "seq_ft"
[select.rates]
seq_ft = [1e-4, 1e-2]
"""


def write_grid(folder: Path, model: Path, text: str, **replaced: str) -> Path:
    """Write tasks, a base and a grid file; `replaced` changes the base's settings as text."""
    if not (folder / "data").exists():
        write_tasks(folder / "data")
    base = small_settings(folder / "data", model).replace("lora.rank = 2\nlora.alpha = 4\n", "")
    for old, new in replaced.items():
        base = base.replace(f"{old} = 3", f"{old} = {new}")
    (folder / "base.toml").write_text(base)
    file = folder / "small.toml"
    file.write_text(text)
    return file


class Forked:
    """A worker that is forked from the sweep's process."""

    def __init__(self, store: Path, cell: str, threads: int) -> None:
        ours, theirs = [0, 0, 0], [0, 0, 0]
        theirs[0], ours[0] = os.pipe()
        ours[1], theirs[1] = os.pipe()
        ours[2], theirs[2] = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            code = 99
            try:
                os.setsid()
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                for handle, number in zip(theirs, (0, 1, 2), strict=True):
                    os.dup2(handle, number)
                os.closerange(3, 4096)
                torch.set_num_threads(threads)
                code = grid_child.main([str(store), cell])
            finally:
                os._exit(code)
        for handle in theirs:
            os.close(handle)
        self.pipes = ours
        self.output = Output(ours[1], ours[2])
        self.ended: int | None = None

    def status(self) -> int | None:
        if self.ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.ended = os.waitstatus_to_exitcode(status)
        return self.ended

    def stop(self, number: signal.Signals) -> None:
        if self.ended is None:
            os.kill(self.pid, number)

    def close(self) -> None:
        for handle in self.pipes:
            os.close(handle)


class Lines:
    """Writes what it is told to a file, a line an event."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def note(self, text: str) -> None:
        with self.file.open("a") as lines:
            lines.write(text + "\n")

    def started(self, item: Item) -> None:
        self.note(f"started: {item.title}")

    def ended(self, item: Item) -> None:
        self.note(f"{item.state}: {item.title}: {item.reason}")

    def chosen(self, choice) -> None:
        self.note(f"chosen: {choice.label}: {choice.rate:g}")

    def status(self, overview: Overview) -> None:
        assert 0 <= overview.finished + overview.failed <= overview.total
        assert all(0 <= done <= 1 for _, done in overview.running)


def sweep(file: str, runs: str, said: str, share: tuple[int, int], jobs: int) -> None:
    """Sweep a share of a grid in this process; exit status 0, 1 or 130."""
    grid = load_grid(Path(file))
    bench = Bench(store=Path(runs), threads=1, start=Forked)
    work = Sweep(
        grid=grid, slots=grid.share(*share), bench=bench, jobs=jobs, told=Lines(Path(said))
    )
    try:
        items = work.all()
    except KeyboardInterrupt:
        os._exit(130)
    os._exit(any(item.state == "failed" for item in items))


def start(
    file: Path, runs: Path, *, share: tuple[int, int] = (1, 1), jobs: int = 1, name: str = "said"
) -> ForkServerProcess:
    """Start a sweep; what it is told is in `<runs>/../<name>.txt`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED, "grids"])
    said = runs.parent / f"{name}.txt"
    process = context.Process(target=sweep, args=(str(file), str(runs), str(said), share, jobs))
    process.start()
    return process


def ended(process: ForkServerProcess) -> int:
    """Wait for a sweep; return its exit status, minus the signal's number where one ended it."""
    process.join(LONGEST)
    assert process.exitcode is not None, "the sweep hangs"
    return process.exitcode


def said(runs: Path, name: str = "said") -> list[str]:
    """Return what a store's sweeps were told."""
    path = runs.parent / f"{name}.txt"
    return path.read_text().splitlines() if path.exists() else []


def results(runs: Path) -> dict[str, bytes]:
    """Return the deterministic files of a store: of all finished runs, and the choices."""
    wanted = ("*/record.json", "*/rows.jsonl", "grids/*/choices/*.json")
    found = [path for pattern in wanted for path in runs.glob(pattern)]
    return {str(path.relative_to(runs)): path.read_bytes() for path in found}


def times(runs: Path) -> dict[str, int]:
    """Return when each record was written, which tells a run that was done again."""
    return {path.parent.name: path.stat().st_mtime_ns for path in runs.glob("*/record.json")}


def choices(runs: Path) -> list[dict]:
    """Return a store's choices."""
    return [json.loads(path.read_text()) for path in sorted(runs.glob("grids/*/choices/*.json"))]
