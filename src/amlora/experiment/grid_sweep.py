"""Work through a grid: for each cell candidates, a choice, then the cell, several at a time.

Any number of processes may do this on one store, on one machine or on several. What they share is
on the disk alone: a cell's lease, its run, its failure, and the choices of rates.
"""

import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

from amlora import files
from amlora.errors import InputError
from amlora.experiment.grid import Grid, Group, Slot
from amlora.experiment.grid_choice import (
    Choice,
    check_choice,
    choice_path,
    choose,
    keep_choice,
    read_choice,
)
from amlora.experiment.grid_item import Bench, Item
from amlora.experiment.stop import AGAIN, handled
from amlora.methods import method_class

PAUSE = 0.2  # seconds between two looks at the processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """How far a sweep is."""

    total: int
    finished: int
    failed: int
    running: tuple[tuple[str, float], ...]
    """Title and share of the training done, 0..1, of each cell at work."""
    seconds_left: float | None
    """An estimate; None before there is anything to estimate from."""


class Told(Protocol):
    """Told of a sweep's events; must not raise."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def started(self, item: Item) -> None:
        """A cell's process was started."""

    def ended(self, item: Item) -> None:
        """A cell finished, diverged or failed, here or elsewhere."""

    def chosen(self, choice: Choice) -> None:
        """A rate was chosen now."""

    def status(self, overview: Overview) -> None:
        """Some time has passed."""


@dataclass
class Sweep:
    """One process's work on a grid.

    Attributes:
        grid: all of it.
        slots: this process's share.
        bench: where and how cells are run.
        jobs: cells at a time.
        told: hears what happens.
    """

    grid: Grid
    slots: Sequence[Slot]
    bench: Bench
    jobs: int
    told: Told
    candidates: dict[tuple[str, str], list[Item]] = field(default_factory=dict)
    finals: list[Item] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    """When this process was asked to stop."""
    passed: int = 0
    """Such requests that the cells' processes have got."""
    seconds: float = 0.0
    """That cells took which were begun and finished here, and the weight they had."""
    weight: float = 0.0

    def all(self) -> list[Item]:
        """Go through everything; return the items, candidates first.

        Raises:
            InputError: wrong data, before any cell is started.
            KeyboardInterrupt: stopped, once every process has saved its state and ended.
        """
        self.plan()
        with handled(signal.SIGINT, self.ask), handled(signal.SIGTERM, self.ask):
            try:
                while self.advance():
                    time.sleep(PAUSE)
            finally:
                for item in self.running():
                    assert item.worker is not None
                    item.worker.close()  # which also stops it
        if self.asked:
            raise KeyboardInterrupt
        return self.items()

    def items(self) -> list[Item]:
        """Return all items, candidates first."""
        return [*(item for group in self.candidates.values() for item in group), *self.finals]

    def queue(self) -> Iterator[Item]:
        """Yield the items in the order of work: each cell behind the candidates of its rate.

        So the first lines of a comparison are whole while later ones are still choosing.
        """
        for final in self.finals:
            yield from self.candidates[final.group.choosing.key]
            yield final

    def running(self) -> list[Item]:
        """Return the items at work in this sweep."""
        return [item for item in self.items() if item.worker is not None]

    def plan(self) -> None:
        """Make the items, load every stream once, take over choices that were made before."""
        files.make_folder(self.bench.store)
        for slot in self.slots:
            group = slot.group
            cell = group.cell(slot.seed, group.rates[0])
            for warning in self.bench.load(cell.settings.stream):
                self.told.note(f"warning: {warning}")
            self.finals.append(
                Item(
                    title=slot.title,
                    group=group,
                    seed=slot.seed,
                    weight=self.bench.tasks(cell),
                    cell=cell if len(group.rates) == 1 else None,
                )
            )
            if group.choosing.key not in self.candidates:
                self.add_candidates(group.choosing)
        for item in self.items():
            if item.cell:
                self.bench.remember(item.cell)

    def add_candidates(self, group: Group) -> None:
        """Make the items that choose a group's rate, done already where it is chosen."""
        items: list[Item] = []
        for cell in group.candidates():
            self.bench.load(cell.settings.stream)
            items.append(Item(title=cell.title, group=group, seed=group.seed, weight=1, cell=cell))
        self.candidates[group.key] = items
        if not items or not (choice := self.made_before(items)):
            return
        for item, candidate in zip(items, choice.candidates, strict=True):
            run = self.bench.store / candidate.run if candidate.run else None
            item.end("finished" if run else "diverged", run=run, reason=candidate.problem)

    def made_before(self, items: Sequence[Item]) -> Choice | None:
        """Return the choice among candidates, if it is of the data and the method as they are.

        Raises:
            InputError: it is not what its candidates say, or another group's.
        """
        cell = items[0].cell
        assert cell is not None
        path = choice_path(self.bench.store, self.grid.name, items[0].group)
        choice = read_choice(path)
        version = method_class(cell.settings.method.name).version
        wanted = self.bench.stream_digest(cell), version
        if choice is None or (choice.stream_digest, choice.method_version) != wanted:
            return None
        check_choice(path, choice, items[0].group, self.bench.store)
        return choice

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Note a request to stop; what comes within a second is one and the same."""
        now = time.monotonic()
        if not self.asked or now - self.asked[-1] > AGAIN:
            self.asked.append(now)

    def advance(self) -> bool:
        """Do what can be done now; tell whether there is anything to wait for."""
        for item in self.running():
            self.bench.look_after(item, stopping=bool(self.asked))
            self.tell(item)
        if self.asked:
            return self.stop()
        for items in self.candidates.values():
            self.settle(items)
        for item in self.queue():
            if len(self.running()) >= self.jobs:
                break
            if item.state == "todo" and item.cell and time.monotonic() >= item.again:
                if self.bench.begin(item):
                    self.told.started(item)
                self.tell(item)
        self.told.status(self.overview())
        return any(item.state in ("todo", "running") for item in self.items())

    def tell(self, item: Item) -> None:
        """Tell of an item that has just ended."""
        if item.state in ("todo", "running"):
            return
        if item.began and item.state == "finished":
            self.seconds += time.monotonic() - item.began
            self.weight += item.weight
        self.told.ended(item)

    def stop(self) -> bool:
        """Pass requests to stop on: to save and end, then to end at once, then signal 9."""
        items = self.running()
        if self.passed < len(self.asked):
            if items and not self.passed:
                self.told.note(f"stopping {len(items)} at the end of their step.")
            self.passed += 1
            for item in items:
                assert item.worker is not None
                item.worker.stop(signal.SIGTERM if self.passed < 3 else signal.SIGKILL)
        return bool(items)

    def settle(self, items: Sequence[Item]) -> None:
        """Give the cells that wait for a choice their rate, once all its candidates have ended."""
        if not items or any(item.state in ("todo", "running") for item in items):
            return
        group = items[0].group
        waiting = [
            item
            for item in self.finals
            if item.group.choosing.key == group.key and item.cell is None and item.state == "todo"
        ]
        if not waiting:
            return
        try:
            choice = self.made_before(items) or self.choose(group, items)
        except InputError as error:
            for item in waiting:
                item.end("failed", reason=str(error))
                self.tell(item)
            return
        for item in waiting:
            item.cell = item.group.cell(item.seed, choice.rate)
            self.bench.remember(item.cell)

    def choose(self, group: Group, items: Iterable[Item]) -> Choice:
        """Choose a rate and keep the choice.

        Raises:
            InputError: a candidate failed, all diverged, or a record is altered.
        """
        outcomes = []
        for item in items:
            assert item.cell is not None
            if item.state == "failed":
                raise InputError(f"no rate can be chosen: {item.title}: {item.reason}")
            outcomes.append((item.cell, item.run, item.reason))
        choice = choose(self.grid.name, group, outcomes)
        keep_choice(choice_path(self.bench.store, self.grid.name, group), choice)
        self.told.chosen(choice)
        return choice

    def overview(self) -> Overview:
        """Return how far everything is, and about how long the rest will take."""
        items = self.items()
        left = [item for item in items if item.state in ("todo", "running")]
        running = [(item, item.worker.output.fraction) for item in items if item.worker]
        now = time.monotonic()
        spent = self.seconds + sum(now - item.began for item, _ in running)
        done = sum(item.weight * fraction for item, fraction in running)
        rest = sum(item.weight for item in left) - done
        each = spent / (self.weight + done) if self.weight + done > 0 else None
        side_by_side = max(1, min(self.jobs, len(left)))
        return Overview(
            total=len(items),
            finished=sum(item.state in ("finished", "diverged") for item in items),
            failed=sum(item.state == "failed" for item in items),
            running=tuple((item.title, fraction) for item, fraction in running),
            seconds_left=None if each is None else each * rest / side_by_side,
        )
