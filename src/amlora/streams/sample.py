"""Seeded draws of rows: each depends on the seed, the task's name and its rows, on no other task.

Every row has a rank, a hash of (seed, task, row). A draw takes the lowest ranks, so a smaller draw
is always a part of a larger one, and adding a task to a stream changes no other task's rows.
"""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Sequence

from amlora.errors import InputError
from amlora.streams.task import Example, text_key


def rank(seed: int, task: str, row: str) -> bytes:
    """Return a row's place in the seeded order."""
    return hashlib.sha256(f"{seed}\0{task}\0{row}".encode()).digest()


def draw(
    rows: Sequence[Example],
    *,
    seed: int,
    task: str,
    by_label: bool = True,
    per_class: int | None = None,
    per_task: int | None = None,
    balanced: bool = False,
) -> list[Example]:
    """Draw rows of one split of a task and return them in the seeded order, labels mixed.

    Args:
        rows, seed, task: as in `rank`, for each row.
        by_label: whether labels are classes; otherwise (free text) the task is one class.
        per_class: at most so many rows of each class; None for all.
        per_task: at most so many rows altogether, of those that `per_class` left; None for all.
        balanced: take the classes in turn, so that what `per_task` leaves holds them evenly.
    """
    drawn: list[tuple[int, Example]] = []
    taken: defaultdict[str, int] = defaultdict(int)
    for row in sorted(rows, key=lambda row: rank(seed, task, row.row)):
        group = row.label if by_label else ""
        if per_class is None or taken[group] < per_class:
            taken[group] += 1
            drawn.append((taken[group] if balanced else 0, row))
    return [row for _, row in sorted(drawn, key=lambda pair: pair[0])][:per_task]


def lowest(total: int, count: int, *, seed: int, task: str, split: str) -> list[int]:
    """Return the places of the `count` rows of a split that a draw would take first, in order."""
    chosen = heapq.nsmallest(count, range(total), key=lambda i: rank(seed, task, f"{split}:{i}"))
    return sorted(chosen)


def set_aside(
    rows: Sequence[Example], share: float, *, seed: int, task: str, by_label: bool, split: str
) -> tuple[list[Example], list[Example]]:
    """Take a share, above 0 and below 1, of each class's distinct texts out of the train rows.

    It is at least one text of a class of three. Rows of equal text (case, punctuation and white
    space aside) go to the same side, so that what is set aside stays unseen; dev and test, the
    `split`, get different rows. Classes are as in `draw`.

    Returns:
        The rows left and the rows taken, both in the order given.

    Raises:
        InputError: too few distinct texts to take any and leave any.
    """
    classes: defaultdict[str, list[str]] = defaultdict(list)
    first: dict[str, Example] = {}
    for row in rows:
        key = text_key(row.text)
        if key not in first:
            first[key] = row
            classes[row.label if by_label else ""].append(key)
    if len(first) < 2:
        raise InputError(
            f"{task}: {len(first)} distinct train text is too few to set a {split} part aside."
        )

    def order(key: str) -> bytes:
        return rank(seed, f"{task}\0{split}", first[key].row)

    taken: set[str] = set()
    for keys in classes.values():
        count = max(1, int(share * len(keys))) if len(keys) >= 3 else 0
        taken.update(sorted(keys, key=order)[:count])
    if not taken:
        taken.add(min(max(classes.values(), key=len), key=order))
    sides: tuple[list[Example], list[Example]] = [], []
    for row in rows:
        sides[text_key(row.text) in taken].append(row)
    return sides


def take(
    rows: Sequence[Example], count: int, *, seed: int, task: str, by_label: bool, split: str
) -> tuple[list[Example], list[Example]]:
    """Take so many rows of distinct texts out, of each class in proportion to its size.

    Args:
        rows: whose texts are distinct; others may end on both sides.
        count: rows to take; all if there are fewer. What is taken is a part of what a larger count
            takes.
        seed, task: as in `rank`.
        by_label: as in `draw`. A class of fewer than half of rows / count may go without any.
        split: what they are taken for; another one gets others.

    Returns:
        The rows left and the rows taken, both in the order given.
    """
    classes: defaultdict[str, list[tuple[bytes, str]]] = defaultdict(list)
    for row in rows:
        order = rank(seed, f"{task}\0{split}", row.row)
        classes[row.label if by_label else ""].append((order, row.row))
    # The middles of equal parts of 0..1, one a row: the lowest ones hold as much of each class.
    spread = [
        ((place + 0.5) / len(members), order, row)
        for members in classes.values()
        for place, (order, row) in enumerate(sorted(members))
    ]
    taken = {row for _, _, row in sorted(spread)[:count]}
    sides: tuple[list[Example], list[Example]] = [], []
    for row in rows:
        sides[row.row in taken].append(row)
    return sides
