"""Rows that a method keeps beyond their task, and draws from again."""

from collections.abc import Iterable
from typing import Any

import torch

from amlora.engine.batch import seed_of
from amlora.engine.encode import Row
from amlora.errors import InputError
from amlora.formats import plain
from amlora.methods.base import State


class Memory:
    """Rows of earlier tasks in the order in which they were added; `rows` holds them."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.rows = list(rows)

    def __len__(self) -> int:
        """Return how many rows are kept."""
        return len(self.rows)

    def add(self, rows: Iterable[Row]) -> None:
        """Keep more rows."""
        self.rows += rows

    def draw(self, count: int, *key: object) -> list[Row]:
        """Draw rows at random: each row once before any comes again.

        Args:
            count: how many rows; more than are kept repeats them.
            key: decides which, together with the rows alone: the same at any call.

        Raises:
            ValueError: nothing is kept.
        """
        if count and not self.rows:
            raise ValueError("there are no rows to draw from.")
        generator = torch.Generator().manual_seed(seed_of(*key))
        chosen: list[int] = []
        while len(chosen) < count:
            chosen += torch.randperm(len(self.rows), generator=generator).tolist()
        return [self.rows[i] for i in chosen[:count]]

    def plain(self) -> list[dict[str, Any]]:
        """Return the rows as plain values for JSON."""
        return plain(self.rows)

    @classmethod
    def of_state(cls, state: State, vocabulary: int) -> "Memory":
        """Return what `plain` was called on, from the value "memory" of a state.

        Raises:
            InputError: it is missing, or a row has no ids that a vocabulary of this size has.
        """
        rows = state.value("memory", list[Row])
        for row in rows:
            if not (row.prompt_ids and row.answer_ids):
                raise InputError(f"memory: row {row.row!r} has no prompt or no answer.")
            if not all(0 <= each < vocabulary for each in (*row.prompt_ids, *row.answer_ids)):
                raise InputError(f"memory: row {row.row!r} has an id beyond {vocabulary}.")
        return cls(rows)
