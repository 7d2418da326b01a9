"""Replay: some rows of every task are kept and read again with those of later tasks."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field

from amlora.engine.backbone import Backbone
from amlora.engine.batch import seed_of
from amlora.engine.encode import Row
from amlora.methods.base import Stage
from amlora.methods.lora import Share
from amlora.methods.parts.memory import Memory
from amlora.methods.seq_ft import SeqFT, TrainableSettings


class ReplaySettings(TrainableSettings):
    """What learns, what is kept, and how often it is read again."""

    fraction: Share = 0.02
    """The share of a task's rows that is kept (Du 2024, arXiv 2406.17245), at least one row of
    each class."""
    selection: Literal["reservoir", "per_class"] = "reservoir"
    """"reservoir": each row with the same chance (Vitter 1985, algorithm R). "per_class": as many
    of each class as of others."""
    ratio: Annotated[float, Field(gt=0, le=100)] = 0.25
    """Kept rows that each step reads on top of its new ones, per new row; at least one row."""


class Replay(SeqFT):
    """Later batches hold a few rows of earlier tasks: the simplest remedy, and a strong one."""

    stores_examples = True
    Settings = ReplaySettings
    settings: ReplaySettings

    def __init__(self, backbone: Backbone, settings: ReplaySettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.memory = Memory(backbone)
        self.keep(self.memory)

    def step_rows(self, stage: Stage, step: int, rows: Sequence[Row]) -> Sequence[Row]:
        """Add kept rows, drawn anew for each step."""
        ratio = self.settings.ratio
        return self.memory.mixed_in(rows, ratio, self.seed, stage.index, step, "replay")

    def end(self, stage: Stage) -> None:
        """Keep some of this task's rows."""
        rows, classes = stage.rows, classes_of(stage)
        share = round(self.settings.fraction * len(rows))
        generator = torch.Generator().manual_seed(seed_of(self.seed, stage.index, "memory"))
        if self.settings.selection == "per_class":
            chosen = evenly(classes, max(share, len(set(classes))), generator)
        else:
            chosen = completed(reservoir(len(rows), share, generator), classes, generator)
        self.memory.rows += [rows[i] for i in sorted(chosen)]

    def stored_examples(self) -> list[Row]:
        """Return the kept rows."""
        return list(self.memory.rows)


def classes_of(stage: Stage) -> list[str]:
    """Return each row's class: its gold answer, or "" where answers are free text."""
    free = {task.name for task in stage.sources if not task.options}
    return ["" if row.task in free else row.gold for row in stage.rows]


def reservoir(total: int, count: int, generator: torch.Generator) -> list[int]:
    """Choose `count` of `total` rows in one pass, each with the same chance.

    Vitter 1985, algorithm R: row i replaces a random chosen one with probability count / (i + 1).
    """
    chosen = list(range(min(count, total)))
    for i in range(count, total):
        place = int(torch.randint(i + 1, (1,), generator=generator))
        if place < count:
            chosen[place] = i
    return chosen


def completed(
    chosen: Sequence[int], classes: Sequence[str], generator: torch.Generator
) -> list[int]:
    """Add a random row of each class that no chosen row has."""
    found = list(chosen)
    having = {classes[i] for i in chosen}
    for wanted in dict.fromkeys(classes):
        if wanted not in having:
            rows = [i for i, each in enumerate(classes) if each == wanted]
            found.append(rows[int(torch.randint(len(rows), (1,), generator=generator))])
    return found


def evenly(classes: Sequence[str], count: int, generator: torch.Generator) -> list[int]:
    """Choose `count` random rows, one of each class in turn until a class has no more."""
    order: list[int] = torch.randperm(len(classes), generator=generator).tolist()
    seen: Counter[str] = Counter()
    turns: dict[int, int] = {}
    for i in order:
        turns[i] = seen[classes[i]]
        seen[classes[i]] += 1
    # The sort is stable: within a turn the classes stay in random order.
    return sorted(order, key=lambda i: turns[i])[:count]
