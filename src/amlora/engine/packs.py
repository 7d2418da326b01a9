"""Which rows share a forward pass when answers are scored."""

from collections.abc import Sequence

from amlora.engine.encode import Row

HEAD_SHARE = 4
"""At most tokens_per_batch / HEAD_SHARE positions go through the language-model head at once."""


def packs(rows: Sequence[Row], tokens_per_batch: int) -> list[list[int]]:
    """Put rows of similar length together, as many as fit; a row that is too long is alone.

    Returns:
        Places of rows, every one once.
    """

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
