"""MTL: all tasks at once, the bound that continual learning is measured against (Caruana 1997)."""

from collections.abc import Sequence
from typing import Literal

from amlora.engine.encode import Row
from amlora.methods.base import Stage
from amlora.methods.parts.memory import draw
from amlora.methods.seq_ft import SeqFT, TrainableSettings


class MTLSettings(TrainableSettings):
    """What learns, and how much of each task it reads."""

    mixing: Literal["proportional", "equal"] = "proportional"
    """"proportional": all rows, shuffled together. "equal": smaller tasks are repeated until each
    has as many rows as the largest, as where each step reads every task (Razdaibiedina 2023)."""


class MTL(SeqFT):
    """One stage over the rows of every task: it sees at once what other methods see in turn."""

    schedule = "joint"
    Settings = MTLSettings
    settings: MTLSettings

    def examples(self, stage: Stage) -> Sequence[Row]:
        """Return all tasks' rows, mixed as the settings say."""
        if self.settings.mixing == "proportional":
            return stage.rows
        return equal(stage.rows, self.seed)


def equal(rows: Sequence[Row], seed: int) -> list[Row]:
    """Repeat rows until every task has as many as the largest.

    Args:
        rows: of several tasks.
        seed: decides which rows come once more.

    Returns:
        The rows, task after task; within a task some may come once more than others.
    """
    by_task: dict[str, list[Row]] = {}
    for row in rows:
        by_task.setdefault(row.task, []).append(row)
    largest = max(map(len, by_task.values()))
    tasks = enumerate(by_task.values())
    return [row for index, own in tasks for row in draw(own, largest, seed, index, "mixing")]
