"""Which rows share a forward pass when answers are scored."""

from collections.abc import Sequence

from amlora.engine.encode import Row
from amlora.mixture.route import only_stage

HEAD_SHARE = 4
"""At most tokens_per_batch / HEAD_SHARE positions go through the language-model head at once."""


def by_stage(rows: Sequence[Row]) -> list[list[int]]:
    """Put rows together that one stage answers alone, and all that several answer.

    Returns:
        Places of rows, every one once; one list where no row has a route.
    """
    found: dict[int | None, list[int]] = {}
    for i, row in enumerate(rows):
        stage = None if row.route is None else only_stage(row.route)
        found.setdefault(stage, []).append(i)
    return list(found.values())


def packs(rows: Sequence[Row], tokens_per_batch: int) -> list[list[int]]:
    """Put rows of similar length together, as many as fit; a row that is too long is alone.

    Rows of different stages are kept apart: the answers of one stage's model are then what they
    were when that stage ended, bit for bit.

    Returns:
        Places of rows, every one once.
    """
    made: list[list[int]] = []
    for places in by_stage(rows):
        group = [rows[i] for i in places]
        made += [[places[i] for i in pack] for pack in fitting(group, tokens_per_batch)]
    return made


def fitting(rows: Sequence[Row], tokens_per_batch: int) -> list[list[int]]:
    """Do what `packs` does, for rows that may all be together."""

    def length(i: int) -> int:
        return len(rows[i].prompt_ids) + len(rows[i].answer_ids)

    made: list[list[int]] = []
    answer = 0
    for i in sorted(range(len(rows)), key=lambda i: (length(i), i)):
        count = len(made[-1]) + 1 if made else 0
        longest = max(answer, len(rows[i].answer_ids))
        fits = length(i) * count <= tokens_per_batch
        if made and fits and longest * count <= tokens_per_batch // HEAD_SHARE:
            made[-1].append(i)
            answer = longest
        else:
            made.append([i])
            answer = len(rows[i].answer_ids)
    return made
