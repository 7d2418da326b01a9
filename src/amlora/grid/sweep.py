"""Work through a grid: for each cell candidates, a choice, then the cell, several at a time.

A cell is a run in the folder that its settings name, so any number of processes may sweep one
folder of runs, on one machine or on several: a run's own lock keeps others out. A run that another
process works on is looked at again later.
"""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from amlora import files
from amlora.engine.batch import steps_of
from amlora.engine.train import NonFiniteLoss
from amlora.errors import InputError
from amlora.experiment.run import run, tidy
from amlora.experiment.settings import RunSettings
from amlora.experiment.stop import AGAIN
from amlora.formats import parse_json
from amlora.grid.cells import Cell, Grid, Line
from amlora.grid.choice import choose, keep_choice, read_choice
from amlora.methods import method_class
from amlora.records.beside import Choice
from amlora.records.run import finished, read_folder
from amlora.streams.load import load_stream

PAUSE = 0.2  # seconds between two looks at the executor
ELSEWHERE = 2.0  # seconds after which a run that another process held is looked at again
EVERY = 30.0  # seconds between two lines on how far everything is


class Outcome(NamedTuple):
    """How an attempt at a cell ended."""

    state: Literal["finished", "busy", "diverged", "failed"]
    reason: str = ""


def attempt(settings: RunSettings, runs: Path, force: bool) -> Outcome:
    """Do a cell's run; this is what an executor calls, in whatever process.

    Raises:
        Interrupted: that process was asked to stop, and the state is on the disk.
    """
    try:
        run(settings, runs=runs, force=force)
    except files.Locked:
        return Outcome("busy")
    except NonFiniteLoss as error:
        return Outcome("diverged", " ".join(str(error).split()))
    except InputError as error:
        return Outcome("failed", str(error))
    except Exception as error:
        traceback.print_exc()
        return Outcome("failed", " ".join(f"{type(error).__name__}: {error}".split()))
    return Outcome("finished")


@dataclass
class Item:
    """A cell as one sweep sees it."""

    cell: Cell
    steps: list[int]
    """Optimiser steps of its stages; its time is taken to grow with them."""
    state: Literal["todo", "running", "finished", "diverged", "failed"] = "todo"
    reason: str = ""
    """Why it failed or diverged."""
    future: Future[Outcome] | None = None
    """While it is running."""
    began: float = 0.0
    """When this sweep first started it; 0 for never."""
    again: float = 0.0
    """When to look again at a run that another process works on."""
    stale: bool = False
    """Whether its run is finished, with other data or another version of the method."""

    @property
    def open(self) -> bool:
        """Whether there is anything left to do."""
        return self.state in ("todo", "running")

    def done(self, runs: Path) -> int:
        """Return how many steps are done, by the run's log."""
        if self.state == "running":
            with suppress(OSError, ValueError, LookupError):  # not begun, or a line half written
                log = files.read_bytes(runs / self.cell.name / "log.jsonl")
                last = parse_json("log.jsonl", log.splitlines()[-1])
                return sum(self.steps[: last["stage"]]) + last["step"]
        return 0 if self.open else sum(self.steps)


@dataclass
class Sweep:
    """One process's work on a grid. Made, it has loaded every stream and read every choice.

    Raises:
        InputError: wrong data, or a choice that is altered or does not hold.
    """

    grid: Grid
    cells: Sequence[Cell]
    """This process's share."""
    runs: Path
    executor: Executor
    jobs: int
    """Cells at a time; 0 for all that can be done now."""
    tell: Callable[[str], None]
    """Hears what happens, in lines."""
    force: bool = False
    """Do runs anew whose data or method changed; else they refuse."""
    items: list[Item] = field(default_factory=list[Item], init=False)
    """All cells in the order of work, each behind the candidates of its rate: so the first lines of
    a comparison are whole while later ones are still choosing."""
    streams: dict[str, tuple[str, list[int]]] = field(default_factory=dict, init=False)
    """Digest and rows of each task of each stream, as they are now."""
    told: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        for cell in self.cells:
            line = cell.line.choosing
            if not self.candidates(line):
                items = [self.item(each) for each in line.candidates]
                if items and not self.made_before(line):
                    self.items += items
            self.items.append(self.item(cell))
        self.began, self.before = time.monotonic(), self.done()

    def item(self, cell: Cell) -> Item:
        """Make an item; load its stream, if it was not yet."""
        settings = (cell.at(cell.line.rates[0]) if cell.rate is None else cell).settings
        if (key := repr(settings.stream)) not in self.streams:
            stream, warnings = load_stream(settings.stream)
            self.streams[key] = stream.digest(), [len(task.train) for task in stream.tasks]
            for warning in warnings:
                self.say(f"warning: {warning}")
        train, (_, rows) = settings.train, self.streams[key]
        return Item(cell, [steps_of(n, train.batch, train.epochs, train.steps) for n in rows])

    def now(self, cell: Cell) -> tuple[str, int]:
        """Return the digest of a cell's stream and its method's version, as they are now."""
        settings = cell.settings
        return self.streams[repr(settings.stream)][0], method_class(settings.method.name).version

    def candidates(self, line: Line) -> list[Item]:
        """Return the items that choose a line's rate."""
        return [each for each in self.items if each.cell.selects and each.cell.line.key == line.key]

    def made_before(self, line: Line) -> Choice | None:
        """Return a line's choice, if it is of the data and the method as they are."""
        choice = read_choice(self.runs, self.grid.name, line)
        if choice and (choice.stream_digest, choice.method_version) == self.now(line.candidates[0]):
            return choice
        return None

    def all(self) -> list[Item]:
        """Go through everything; return the items.

        Raises:
            KeyboardInterrupt: stopped, once every run has saved its state and ended.
        """
        try:
            while self.advance():
                time.sleep(PAUSE)
        except BaseException:
            self.stop()
            raise
        return self.items

    def stop(self) -> None:
        """Let what runs save and end; asked again, at once."""
        asked, at_work = time.monotonic(), [item.future for item in self.running if item.future]
        if at_work:
            self.say(f"stopping {len(at_work)} at the end of their step.")
        self.executor.shutdown(wait=False, cancel_futures=True)
        while not all(future.done() for future in at_work):
            try:
                futures.wait(at_work)
            except KeyboardInterrupt:
                # A launcher may pass on what was sent to all: that is one and the same.
                if time.monotonic() - asked > AGAIN:
                    self.executor.shutdown(wait=False, cancel_futures=True)

    @property
    def running(self) -> list[Item]:
        """The items at work in this sweep."""
        return [item for item in self.items if item.state == "running"]

    def advance(self) -> bool:
        """Do what can be done now; tell whether there is anything to wait for."""
        for item in self.running:
            self.close(item)
        for item in self.items:
            if self.jobs and len(self.running) >= self.jobs:
                break
            if item.state == "todo" and item.cell.rate is None:
                self.choose(item)
            known = item.cell.rate is not None
            if item.state == "todo" and known and time.monotonic() >= item.again:
                self.begin(item)
        self.tell_how_far()
        return any(item.open for item in self.items)

    def begin(self, item: Item) -> None:
        """Start an item, unless the disk says that there is nothing to do."""
        self.look(item)
        if item.open and time.monotonic() >= item.again:
            self.say(f"{item.cell.title}: started.")
            item.state, item.began = "running", item.began or time.monotonic()
            force = self.force and item.stale
            item.future = self.executor.submit(attempt, item.cell.settings, self.runs, force)
            self.close(item)

    def look(self, item: Item) -> None:
        """Take from the disk whether an item's run is finished, damaged, or another process's."""
        folder = self.runs / item.cell.name
        if not files.exists(folder):
            return
        try:
            with files.lock(folder):
                if not finished(folder):
                    return
                record = read_folder(folder).record
                found = record.stream_digest, record.method_version
                item.stale = found != self.now(item.cell)
                if not item.stale:
                    tidy(folder)
        except files.Locked:
            item.again = time.monotonic() + ELSEWHERE
        except (InputError, OSError) as error:
            self.end(item, "failed", str(error))
        else:
            if not item.stale:
                rows = "dev rows" if item.cell.selects else "average"
                took = f"in {time.monotonic() - item.began:.1f} s" if item.began else "already"
                score = percent(record.metrics.average)
                self.end(item, "finished", f"finished {took}, {rows} {score}.")

    def close(self, item: Item) -> None:
        """Book how an attempt ended, if it has."""
        future = item.future
        if not future or not future.done():
            return
        item.state, item.future, error = "todo", None, future.exception()
        outcome = Outcome("failed", str(error)) if error else future.result()
        if outcome.state == "busy":
            item.again = time.monotonic() + ELSEWHERE
        elif outcome.state == "finished":
            self.look(item)
            if item.open:
                self.end(item, "failed", "its data or its method changed while the grid ran.")
        elif outcome.state == "diverged" and item.cell.selects:
            self.end(item, "diverged", outcome.reason)
        else:
            self.end(item, "failed", outcome.reason)

    def end(
        self, item: Item, state: Literal["finished", "diverged", "failed"], reason: str
    ) -> None:
        """Book an item's end and tell it."""
        item.state, item.reason = state, reason
        self.say(f"{item.cell.title}: {reason if state == 'finished' else f'{state}: {reason}'}")

    def choose(self, item: Item) -> None:
        """Give an item its rate, once all candidates have ended; keep the choice."""
        line = item.cell.line.choosing
        candidates = self.candidates(line)
        if any(each.open for each in candidates):
            return
        try:
            for each in candidates:
                if each.state == "failed":
                    raise InputError(f"no rate can be chosen: {each.cell.title}: {each.reason}")
            if (choice := self.made_before(line)) is None:
                problems = [each.reason if each.state == "diverged" else "" for each in candidates]
                choice = choose(self.grid.name, line, problems, self.runs)
                keep_choice(self.runs, line, choice)
                tried = [f"{each.rate:g}: {percent(each.score)}" for each in choice.candidates]
                among = f"dev rows of {choice.task}, {', '.join(tried)}"
                self.say(f"{line.title}: rate {choice.rate:g} chosen ({among}).")
        except InputError as error:
            return self.end(item, "failed", str(error))
        item.cell = item.cell.at(choice.rate)

    def say(self, line: str) -> None:
        """Tell a line."""
        self.tell(line)
        self.told = time.monotonic()

    def done(self) -> int:
        """Return how many steps are done in all."""
        return sum(item.done(self.runs) for item in self.items)

    def tell_how_far(self) -> None:
        """Tell now and then how far everything is, and about how long the rest will take."""
        if time.monotonic() - self.told < EVERY:
            return
        count = Counter(item.state for item in self.items)
        said = [f"{count['finished'] + count['diverged']} of {count.total()} finished"]
        said += [f"{count['failed']} failed"] if count["failed"] else []
        for item in self.running:
            said.append(f"{item.cell.title} {item.done(self.runs) / sum(item.steps):.0%}")
        total, done = sum(sum(item.steps) for item in self.items), self.done()
        if done > self.before:
            spent = time.monotonic() - self.began
            left = spent * (total - done) / (done - self.before)
            said.append(f"about {left / 60:.0f} min left")
        self.say(f"{'; '.join(said)}.")


def percent(share: float | None) -> str:
    """Return a share as a person reads it."""
    return "-" if share is None else f"{100 * share:.1f} %"
