"""MTL: all tasks at once, the bound that continual learning is measured against (Caruana 1997)."""

from collections.abc import Sequence
from typing import Literal, cast

from amlora.engine.encode import Row
from amlora.methods.base import Stage
from amlora.methods.parts.memory import Memory
from amlora.methods.parts.trainable import TrainableSettings
from amlora.methods.seq_ft import SeqFT


class MTLSettings(TrainableSettings):
    """What learns, and how much of each task it reads."""

    mixing: Literal["proportional", "equal"] = "proportional"
    """"proportional": all rows, shuffled together. "equal": smaller tasks are repeated until each
    has as many rows as the largest, as where each step reads every task (Razdaibiedina 2023)."""


class MTL(SeqFT):
    """One stage over the rows of every task: it sees at once what other methods see in turn."""

    schedule = "joint"
    Settings = MTLSettings

    def examples(self, stage: Stage) -> Sequence[Row]:
        """Return all tasks' rows, mixed as the settings say."""
        if cast(MTLSettings, self.settings).mixing == "proportional":
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
    by_task: dict[str, Memory] = {}
    for row in rows:
        by_task.setdefault(row.task, Memory()).add([row])
    largest = max(len(memory) for memory in by_task.values())
    return [
        row
        for index, memory in enumerate(by_task.values())
        for row in memory.draw(largest, seed, index, "mixing")
    ]
