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
        by_task: dict[str, list[Row]] = {}
        for row in stage.rows:
            by_task.setdefault(row.task, []).append(row)
        largest, tasks = max(map(len, by_task.values())), enumerate(by_task.values())
        return [row for i, own in tasks for row in draw(own, largest, self.seed, i, "mixing")]
