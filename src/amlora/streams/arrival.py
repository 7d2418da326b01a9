"""The train rows of all tasks as one sequence, and how borders found in it compare with the true.

Tasks come in their order, each task's rows in the seeded order in which they were drawn. With
blurred borders the rows that two neighbours would exchange (`border.py`) lie between their other
rows, mixed in a seeded order: there one task fades into the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from amlora.streams.border import Piece, pieces
from amlora.streams.sample import rank


class Arrival(NamedTuple):
    """Train row `row` of a task, both counted from 0."""

    task: int
    row: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a detector did.

    Attributes:
        delays: for each true border how many rows of the new task were still given to the stage
            before; None where the border was missed.
        false_alarms: borders that were found and are none.
    """

    delays: tuple[int | None, ...]
    false_alarms: int


def arrivals(
    names: Sequence[str], counts: Sequence[int], border: float, seed: int
) -> list[Arrival]:
    """Return all rows in the order in which they arrive.

    Args:
        names: the tasks, in the order in which they are learned.
        counts: how many train rows each has.
        border: the share of a task's rows that each neighbour would get, 0 .. 0.5.
        seed: decides the order of mixed rows.

    Raises:
        InputError: a task would have no row between its neighbours'.
    """
    last = len(names) - 1
    made: list[Arrival] = []
    fading: list[Arrival] = []  # given by a stage to the next one's task, or the other way round
    for k, parts in enumerate(pieces(names, counts, border)):
        by_task = {part.task: rows_of(part) for part in parts}
        fading += by_task.get(k - 1, [])
        made += sorted(fading, key=lambda at: rank(seed, names[at.task], f"arrival {at.row}"))
        made += by_task[k]
        fading = by_task.get(k + 1, []) if k < last else []
    return made


def rows_of(piece: Piece) -> list[Arrival]:
    """Return the rows of a piece, in order."""
    return [Arrival(piece.task, row) for row in range(piece.start, piece.stop)]


def true_borders(order: Sequence[Arrival]) -> list[int]:
    """Return the place of each task's first row, but for the first task's."""
    tasks = [arrival.task for arrival in order]
    return [tasks.index(task) for task in range(1, max(tasks) + 1)]


def compare(found: Sequence[int], true: Sequence[int]) -> Comparison:
    """Compare borders that were found with the true ones.

    The first border that is found once a task's first row was read, and before the next task's was,
    is that task's. All others are false alarms.

    Args:
        found: places of the first rows of stages, rising; the row before each was read when it was
            found.
        true: as `true_borders` returned them.
    """
    delays: list[int | None] = []
    for start, stop in zip(true, [*true[1:], inf], strict=True):
        inside = [at for at in found if start < at <= stop]
        delays.append(inside[0] - start if inside else None)
    right = sum(delay is not None for delay in delays)
    return Comparison(tuple(delays), len(found) - right)
