"""Runs of the paper's orders as lines of one table: which share a line, and what stands in a cell.

A line is one method with one set of settings over orders and seeds. In a cell are the runs of one
order that differ by nothing but the seed. From order to order of a line the data, a method's
settings per task and the learning rate may differ, since all three belong to the order, and what
was scored besides.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from amlora import files
from amlora.errors import InputError
from amlora.evaluate.statistics import Interval, seed_interval
from amlora.records.alike import across_orders
from amlora.records.run import StoredRun as Run
from amlora.report.intervals import Over, average_interval
from amlora.report.methods_table import learning_rate
from amlora.report.published import span


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A number in per cent, and its 95 % interval where there is one."""

    value: float
    interval: Interval | None = None
    over: Over = ""
    """What the interval is over: seeds, or the test rows of a single run."""
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The runs of one line by order, each order's by seed."""

    method: str
    runs: Mapping[str, tuple[Run, ...]]

    @property
    def any_run(self) -> Run:
        """One of its runs, the same each time."""
        return next(iter(self.runs.values()))[0]

    @property
    def rates(self) -> list[float]:
        """Its learning rates, sorted."""
        found = (learning_rate(run) for runs in self.runs.values() for run in runs)
        return sorted({rate for rate in found if rate is not None})


def order_of(run: Run, orders: Mapping[str, Sequence[str]]) -> str | None:
    """Return the paper's order that a run learned, None where it is none of them.

    Own tasks of the same names are not the paper's.
    """
    stream = run.record.settings.get("stream")
    if not isinstance(stream, dict) or not stream.get("order"):
        return None
    names = tuple(task.name for task in run.record.tasks)
    return next((name for name, tasks in orders.items() if tuple(tasks) == names), None)


def lines_of(runs: Sequence[tuple[str, Run]]) -> list[Line]:
    """Put the runs of one method together.

    Args:
        runs: each with its order.

    Raises:
        InputError: two runs that nothing tells apart.
    """

    def loose(run: Run) -> list[Any]:
        return [run.record.method, str(run.record.method_version), across_orders(run.record)]

    def named(run: Run) -> list[Any]:
        return [*loose(run), run.record.name]

    def strict(run: Run) -> list[Any]:
        return [*named(run), learning_rate(run)]

    groups = partition(runs, loose)
    for way in (named, strict):
        # Only what does not fit together is told apart further.
        groups = [
            part
            for group in groups
            for part in ([group] if clash(group) is None else partition(group, way))
        ]
    for group in groups:
        if pair := clash(group):
            raise InputError(
                f"{pair[0].path} and {pair[1].path}: two runs of one cell of the table (one"
                " method, order and name) that differ by more than their seed; give one of them."
            )
    return [line_of(group) for group in groups]


def partition(
    runs: Sequence[tuple[str, Run]], key: Callable[[Run], list[Any]]
) -> list[list[tuple[str, Run]]]:
    """Split runs by a key, in an order that does not depend on theirs."""
    parts: dict[str, list[tuple[str, Run]]] = {}
    for order, run in runs:
        parts.setdefault(files.digest(key(run)), []).append((order, run))
    return [parts[digest] for digest in sorted(parts)]


def clash(group: Sequence[tuple[str, Run]]) -> tuple[Run, Run] | None:
    """Return two runs of one order that cannot share a cell: equal seeds, other rates or rows."""
    first: dict[str, Run] = {}
    seeds: dict[tuple[str, int], Run] = {}
    for order, run in group:
        if other := seeds.get((order, run.record.seed)):
            return other, run
        seeds[order, run.record.seed] = run
        other = first.setdefault(order, run)
        for told in (learning_rate, lambda run: run.record.stream_digest):
            if told(other) != told(run):
                return other, run
    return None


def line_of(group: Sequence[tuple[str, Run]]) -> Line:
    """Sort the runs of a line by order and seed."""
    found: dict[str, list[Run]] = {}
    for order, run in sorted(group, key=lambda item: (item[0], item[1].record.seed)):
        found.setdefault(order, []).append(run)
    return Line(
        method=group[0][1].record.method,
        runs={order: tuple(runs) for order, runs in found.items()},
    )


def cells_of(line: Line, group: tuple[str, ...]) -> dict[str, Cell]:
    """Return the cells of one group of orders, by column; what is undefined is left out.

    The average over orders needs all of them. Its interval is over seeds that all orders have; the
    orders share test rows, so that intervals of single runs do not give one.
    """
    cells: dict[str, Cell] = {}
    for order in group:
        if (cell := order_cell(line.runs.get(order, ()))) is not None:
            cells[order] = cell
    if len(cells) == len(group):
        cells[span(group)] = average_cell(line, group, cells)
    learned = [line.runs[order] for order in group if order in line.runs]
    for column, name in (("forgetting", "forgetting"), ("learning", "learning_accuracy")):
        # Each order's mean over seeds, and the mean of these.
        means: list[float] = []
        for runs in learned:
            values = [getattr(run.record.metrics, name) for run in runs]
            if None not in values:
                means.append(100 * fmean(values))
        if means and len(means) == len(learned):
            cells[f"{column} {span(group)}"] = Cell(value=fmean(means))
    return cells


def order_cell(runs: Sequence[Run]) -> Cell | None:
    """Return an order's average over the seeds, None where it is undefined or there is no run."""
    values = [run.record.metrics.average for run in runs]
    known = [100 * value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    interval, over = average_interval(runs)
    seeds = tuple(run.record.seed for run in runs)
    return Cell(value=fmean(known), interval=interval, over=over, seeds=seeds)


def average_cell(line: Line, group: tuple[str, ...], cells: Mapping[str, Cell]) -> Cell:
    """Return the mean over a group's orders, all of which are there."""
    value = fmean(cells[order].value for order in group)
    seeds = cells[group[0]].seeds
    if len(seeds) < 2 or any(cells[order].seeds != seeds for order in group):
        return Cell(value=value)
    by_seed = zip(*(line.runs[order] for order in group), strict=True)
    each = [100 * fmean(known_average(run) for run in runs) for runs in by_seed]
    return Cell(value=value, interval=seed_interval(each).interval, over="seeds", seeds=seeds)


def known_average(run: Run) -> float:
    """Return a run's average, which is known to be there."""
    assert run.record.metrics.average is not None
    return run.record.metrics.average
