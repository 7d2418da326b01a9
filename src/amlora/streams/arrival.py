"""Blurred borders between tasks, and the train rows of all tasks as one sequence.

With border b, a task of n train rows gives its first floor(b n) rows to the stage before and its
last floor(b n) rows to the stage after; its own stage learns the rest. So the rows of two
neighbours that change places stand for the stretch in which one task fades into the other. Rows are
counted in the seeded order in which they were drawn, so which rows these are is decided by
`stream.sample_seed`. Test rows, and how a stage is named and scored, stay as they are.

As one sequence, tasks come in their order, and the rows that two neighbours would exchange lie
between their other rows, mixed in a seeded order.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from amlora.errors import InputError
from amlora.streams.sample import rank

ROUNDING = 1e-9  # 0.29 * 100 is a little below 29


class Piece(NamedTuple):
    """Train rows start .. stop of a task."""

    task: int
    start: int
    stop: int


class Arrival(NamedTuple):
    """Train row `row` of a task, both counted from 0."""

    task: int
    row: int


class Comparison(NamedTuple):
    """What a detector of borders did."""

    delays: tuple[int | None, ...]
    """For each true border how many rows of the new task were still given to the stage before; None
    where the border was missed."""
    false_alarms: int
    """Borders that were found and are none."""


def pieces(names: Sequence[str], counts: Sequence[int], border: float) -> list[list[Piece]]:
    """Say which rows each stage learns, of tasks in their order with so many train rows each.

    The border, 0 .. 0.5, is the share of a task's rows that each neighbour gets. A stage has rows
    of the task before, its own, and of the task after, as far as any; without its own: an
    InputError.
    """
    last = len(counts) - 1
    given = [math.floor(border * count + ROUNDING) for count in counts]
    stages: list[list[Piece]] = []
    for k, count in enumerate(counts):
        own = Piece(k, given[k] if k else 0, count - given[k] if k < last else count)
        if own.start >= own.stop:
            raise InputError(
                f"stream.border: {border} leaves task {names[k]!r} none of its {count} rows, as it"
                " has a neighbour on each side; give a smaller share."
            )
        before = [Piece(k - 1, counts[k - 1] - given[k - 1], counts[k - 1])] if k else []
        after = [Piece(k + 1, 0, given[k + 1])] if k < last else []
        stages.append([piece for piece in (*before, own, *after) if piece.start < piece.stop])
    return stages


def arrivals(
    names: Sequence[str], counts: Sequence[int], border: float, seed: int
) -> list[Arrival]:
    """Return all rows in the order in which they arrive; the seed decides that of mixed ones."""
    order: list[Arrival] = []
    fading: list[Arrival] = []  # given by a stage to the next one's task, or the other way round
    for k, parts in enumerate(pieces(names, counts, border)):
        by_task = {p.task: [Arrival(p.task, row) for row in range(p.start, p.stop)] for p in parts}
        fading += by_task.get(k - 1, [])
        order += sorted(fading, key=lambda at: rank(seed, names[at.task], f"arrival {at.row}"))
        order += by_task[k]
        fading = by_task.get(k + 1, [])
    return order


def true_borders(order: Sequence[Arrival]) -> list[int]:
    """Return the place of each task's first row, but for the first task's."""
    tasks = [arrival.task for arrival in order]
    return [tasks.index(task) for task in range(1, max(tasks) + 1)]


def compare(found: Sequence[int], true: Sequence[int]) -> Comparison:
    """Compare borders that were found with the true ones.

    The first border that is found once a task's first row was read, and before the next task's was,
    is that task's. All others are false alarms. A border is the place of a stage's first row; the
    row before was read when it was found.
    """
    delays: list[int | None] = []
    for start, stop in zip(true, [*true[1:], math.inf], strict=True):
        inside = [at for at in found if start < at <= stop]
        delays.append(inside[0] - start if inside else None)
    right = sum(delay is not None for delay in delays)
    return Comparison(tuple(delays), len(found) - right)
