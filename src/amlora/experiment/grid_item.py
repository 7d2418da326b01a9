"""A cell on its way through one process's sweep: what the disk says of it, and its own process.

Every cell is looked at right before it is started, so cells that another process finished, failed
or works on are not done again; one whose process died is taken up where its run stands.
"""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from amlora import files
from amlora.errors import InputError
from amlora.experiment import grid_store as cells
from amlora.experiment.grid import Cell, Group
from amlora.experiment.grid_child import BUSY, DONE
from amlora.experiment.grid_process import Process, Worker
from amlora.experiment.store import read_record
from amlora.methods import method_class
from amlora.streams.load import load_stream
from amlora.streams.settings import StreamSettings

ELSEWHERE = 2.0  # seconds after which a cell that another process held is looked at again

Start = Callable[[Path, str, int], Worker]
"""Starts the process of a cell: the store, the cell's id, threads to compute with."""
Ending = Literal["finished", "diverged", "failed"]


@dataclass
class Item:
    """A cell as one sweep sees it."""

    title: str
    group: Group
    seed: int
    weight: int
    """Tasks that it learns; its time is taken to grow with them."""
    cell: Cell | None
    """None until its rate is chosen."""
    state: Literal["todo", "running"] | Ending = "todo"
    reason: str = ""
    """Why it failed or diverged."""
    run: Path | None = None
    """Its folder, once finished."""
    worker: Worker | None = None
    began: float = 0.0
    """When this sweep first started it; 0 for never."""
    again: float = 0.0
    """When to look again at a cell that another process works on."""

    def end(self, state: Ending, *, run: Path | None = None, reason: str = "") -> None:
        """Book how it ended."""
        self.state, self.run, self.reason = state, run, reason


@dataclass
class Bench:
    """What a sweep needs to work on cells.

    Attributes:
        store: the folder of runs.
        threads: that each process computes with.
        start: starts one.
        streams: digests of the streams as they are now, by the digest of their settings.
        known: failures that were there when the sweep began: these cells are tried again, once.
    """

    store: Path
    threads: int
    start: Start = Process
    streams: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    known: dict[str, cells.Failure] = field(default_factory=dict)

    def load(self, settings: StreamSettings) -> list[str]:
        """Load a stream, if it was not yet; return its warnings."""
        key = files.digest(settings.model_dump(mode="json"))
        if key in self.streams:
            return []
        stream, warnings = load_stream(settings)
        self.streams[key], self.sizes[key] = stream.digest(), len(stream.tasks)
        return warnings

    def stream_digest(self, cell: Cell) -> str:
        """Return the digest of a cell's stream as it is now."""
        return self.streams[files.digest(cell.settings.stream.model_dump(mode="json"))]

    def tasks(self, cell: Cell) -> int:
        """Return how many tasks a cell learns."""
        return self.sizes[files.digest(cell.settings.stream.model_dump(mode="json"))]

    def remember(self, cell: Cell) -> None:
        """Note the failure of an earlier attempt."""
        if failure := cells.failure_of(self.store, cell.id):
            self.known[cell.id] = failure

    def begin(self, item: Item) -> bool:
        """Start an item's process, unless the disk says that there is nothing to do."""
        assert item.cell is not None
        try:
            if self.look(item):
                return False
            cells.keep_settings(self.store, item.cell)
        except (InputError, OSError) as error:
            item.end("failed", reason=str(error))
            return False
        item.worker = self.start(self.store, item.cell.id, self.threads)
        item.state, item.began = "running", item.began or time.monotonic()
        return True

    def look(self, item: Item) -> bool:
        """Take from the disk what was done of an item; tell whether it is not ours to start.

        Raises:
            InputError: its run is altered.
        """
        assert item.cell is not None
        cell = item.cell.id
        if (run := cells.run_of(self.store, item.cell)) and self.is_current(run, item.cell):
            item.end("finished", run=run)
        elif cells.leased(self.store, cell):
            item.again = time.monotonic() + ELSEWHERE
        elif (failure := cells.failure_of(self.store, cell)) not in (None, self.known.get(cell)):
            assert failure is not None
            lost = item.cell.selects and failure.kind == "diverged"
            item.end("diverged" if lost else "failed", reason=failure.reason)
        else:
            return False
        return True

    def is_current(self, run: Path, cell: Cell) -> bool:
        """Tell whether a finished run is of the data and the method as they are now."""
        record = read_record(run)
        version = method_class(cell.settings.method.name).version
        return (record["stream_digest"], record["method_version"]) == (
            self.stream_digest(cell),
            version,
        )

    def look_after(self, item: Item, *, stopping: bool) -> None:
        """Hear an item's process; where it has ended, see how.

        Args:
            item: one that runs.
            stopping: its process was asked to end, so that this is no failure.
        """
        worker, cell = item.worker, item.cell
        assert worker is not None and cell is not None
        status = worker.status()  # before its last words are read
        worker.output.read()
        if status is None:
            return
        worker.close()
        item.worker, item.state = None, "todo"
        if status == BUSY:
            item.again = time.monotonic() + ELSEWHERE
            return
        if stopping and status != DONE:
            return
        before = self.known.pop(cell.id, None)
        try:
            if status != DONE:
                self.note_end(cell.id, status, worker.output.said, before)
            if not self.look(item) and status == DONE:
                item.end("failed", reason="its data or its method changed while the grid ran.")
        except (InputError, OSError) as error:
            item.end("failed", reason=str(error))

    def note_end(self, cell: str, status: int, said: str, before: cells.Failure | None) -> None:
        """Note the failure of a process that did not do it itself.

        Args:
            cell: its id.
            status: as the process ended.
            said: the end of its standard error.
            before: the failure of an earlier attempt, which a process that died young leaves there.
        """
        if cells.failure_of(self.store, cell) not in (None, before):
            return
        reason = said.strip().rpartition("\n")[2] or f"its process ended with status {status}."
        if status < 0 or status == 128 + signal.SIGINT:
            number = -status if status < 0 else signal.SIGINT
            reason = f"its process was ended by signal {number}."
            if number == signal.SIGKILL:
                reason = f"{reason[:-1]}; is there enough memory?"
        try:
            with files.lock(cells.cell_folder(self.store, cell)):
                cells.keep_failure(self.store, cell, "killed" if status < 0 else "error", reason)
        except InputError:
            return  # another process has taken it up already
