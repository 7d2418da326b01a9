"""Grids of tiny runs, swept in processes of their own that can be killed.

A sweep's process is forked from a server that has imported everything, and forks its cells'
processes in turn, so that none of them waits for imports. Kept apart from the tests because the
processes import it by name.
"""

import json
import multiprocessing
import os
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from amlora.grid.cells import load_grid
from amlora.grid.executors import processes
from amlora.grid.sweep import Sweep
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


def sweep(file: str, runs: str, said: str, share: tuple[int, int], jobs: int, force: bool) -> None:
    """Sweep a share of a grid in this process; exit status 0, 1 or 130."""
    grid = load_grid(Path(file))

    def tell(line: str) -> None:
        with open(said, "a") as lines:
            lines.write(line + "\n")

    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a job of a shell
    executor = processes(1, "fork")
    try:
        cells, store = grid.share(*share), Path(runs)
        items = Sweep(grid, cells, store, executor, jobs=jobs, tell=tell, force=force).all()
    except KeyboardInterrupt:
        os._exit(130)
    os._exit(any(item.state == "failed" for item in items))


def start(
    file: Path,
    runs: Path,
    *,
    share: tuple[int, int] = (1, 1),
    jobs: int = 1,
    force: bool = False,
    name: str = "said",
) -> ForkServerProcess:
    """Start a sweep; what it tells is in `<runs>/../<name>.txt`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED, "grids"])
    runs.parent.mkdir(exist_ok=True)
    said = runs.parent / f"{name}.txt"
    words = (str(file), str(runs), str(said), share, jobs, force)
    process = context.Process(target=sweep, args=words)
    process.start()
    return process


def ended(process: ForkServerProcess) -> int:
    """Wait for a sweep; return its exit status, minus the signal's number where one ended it."""
    process.join(LONGEST)
    assert process.exitcode is not None, "the sweep hangs"
    return process.exitcode


def said(runs: Path, word: str = "", name: str = "said") -> list[str]:
    """Return what a sweep told, of it the lines with a word."""
    path = runs.parent / f"{name}.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if word in line]


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


def children(pid: int) -> list[int]:
    """Return a process's children."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in path.read_text().split()]
    return found
