"""Blurred borders between tasks: rows that a neighbouring stage learns.

With border b, a task of n train rows gives its first floor(b n) rows to the stage before and its
last floor(b n) rows to the stage after; its own stage learns the rest. So the rows of two
neighbours that change places stand for the stretch in which one task fades into the other. Rows are
counted in the seeded order in which they were drawn, so which rows these are is decided by
`stream.sample_seed`. Test rows, and how a stage is named and scored, stay as they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from amlora.errors import InputError

ROUNDING = 1e-9  # 0.29 * 100 is a little below 29


@dataclass(frozen=True, slots=True)
class Piece:
    """Train rows start .. stop of a task."""

    task: int
    start: int
    stop: int


def pieces(names: Sequence[str], counts: Sequence[int], border: float) -> list[list[Piece]]:
    """Say which rows each stage learns.

    Args:
        names: the tasks, in the order in which they are learned; for errors.
        counts: how many train rows each has.
        border: the share of a task's rows that each neighbour gets, 0 .. 0.5.

    Returns:
        For each stage rows of the task before, its own, and of the task after, as far as any.

    Raises:
        InputError: a stage would have no row of its own.
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
