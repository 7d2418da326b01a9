"""Rows that a method keeps beyond their task, and draws from again."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import torch

from amlora.engine.batch import seed_of
from amlora.engine.encode import Row


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
        return [msgspec.json.decode(msgspec.json.encode(row)) for row in self.rows]

    @classmethod
    def from_plain(cls, rows: Sequence[dict[str, Any]]) -> "Memory":
        """Return what `plain` was called on."""
        return cls(msgspec.convert(rows, list[Row]))
