"""Rows that a method keeps beyond their task, and draws from again."""

from collections.abc import Sequence

import torch

from amlora.engine.backbone import Backbone
from amlora.engine.batch import seed_of
from amlora.engine.encode import Row
from amlora.errors import InputError
from amlora.formats import plain
from amlora.methods.state import State


def draw(rows: Sequence[Row], count: int, *key: object) -> list[Row]:
    """Draw rows at random: each row once before any comes again.

    Args:
        rows: at least one.
        count: how many; more than there are repeats them.
        key: decides which, together with the rows alone: the same at any call.
    """
    generator = torch.Generator().manual_seed(seed_of(*key))
    chosen: list[int] = []
    while len(chosen) < count:
        chosen += torch.randperm(len(rows), generator=generator).tolist()
    return [rows[i] for i in chosen[:count]]


def some_rows(rows: Sequence[Row], most: int, *key: object) -> list[Row]:
    """Draw so many rows, or all in random order where there are fewer."""
    return draw(rows, min(most, len(rows)), *key)


class Memory:
    """Rows of earlier tasks in the order in which they were added; `rows` holds them."""

    def __init__(self, backbone: Backbone) -> None:
        self.rows: list[Row] = []
        embedding = backbone.model.get_input_embeddings()
        self.vocabulary = len(embedding.get_parameter("weight"))

    def mixed_in(self, rows: Sequence[Row], ratio: float, *key: object) -> Sequence[Row]:
        """Return rows and, behind them, `ratio` kept ones per row, at least one if any is kept."""
        if not self.rows:
            return rows
        return [*rows, *draw(self.rows, max(1, round(ratio * len(rows))), *key)]

    def state(self) -> State:
        """Return the rows as plain values."""
        return State(values={"memory": plain(self.rows)})

    def restore(self, state: State) -> None:
        """Take them back.

        Raises:
            InputError: they are missing, or a row has no ids that the vocabulary has.
        """
        rows = state.value("memory", list[Row])
        for row in rows:
            if not (row.prompt_ids and row.answer_ids):
                raise InputError(f"memory: row {row.row!r} has no prompt or no answer.")
            if not all(0 <= each < self.vocabulary for each in (*row.prompt_ids, *row.answer_ids)):
                raise InputError(f"memory: row {row.row!r} has an id beyond {self.vocabulary}.")
        self.rows = rows
