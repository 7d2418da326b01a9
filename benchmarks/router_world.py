"""The vectors of all prompts of `router.py`, made once."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from router_prompts import Ids, asked, bare, ordinary, prompts_of, read
from router_ways import BEST, Lesson
from torch import Tensor

from amlora.engine.backbone import Backbone
from amlora.engine.route import Reader, vector_of
from amlora.streams.load import load_stream
from amlora.streams.settings import StreamSettings
from amlora.streams.task import Task, TaskStream

TRAIN, TEST = 200, 200
"""Rows of a task that draws are taken from, and test rows at most."""
WORDINGS = 4
"""Of a task, that may be trained on; others are for the test."""
END = 32


@dataclass
class World:
    """The vectors of all prompts, made once."""

    backbone: Backbone
    stream: TaskStream
    kept: dict[tuple[str, str, str], Tensor] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the tasks."""
        return [task.name for task in self.stream.tasks]

    def train(self, task: str, words: str, vector: str) -> Tensor:
        """Return (rows, D) of training rows; words: "wording N" or "text alone"."""
        return self.kept[task, f"train, {words}", vector]

    def test(self, task: str, words: str, vector: str) -> Tensor:
        """Return (rows, D) of test rows in some words."""
        return self.kept[task, words, vector]

    def put(self, task: str, words: str, prompts: Sequence[Ids]) -> None:
        """Read prompts into vectors of all kinds."""
        for vector, of in VECTORS.items():
            self.kept[task, words, vector] = torch.stack(
                [of(self.backbone, ids) for ids in prompts]
            )

    def lessons(self, vector: str, rows: int, wordings: int, draw: int) -> list[Lesson]:
        """Return so many training rows a task, in so many wordings by turns."""
        generator = torch.Generator().manual_seed(draw)
        found: list[Lesson] = []
        for name in self.names:
            texts = self.train(name, "text alone", vector)
            chosen = torch.randperm(len(texts), generator=generator)[:rows]
            kinds = [self.train(name, f"wording {w}", vector) for w in range(wordings)]
            prompts = [kinds[place % wordings][row] for place, row in enumerate(chosen)]
            found.append(Lesson(torch.stack(prompts), texts[chosen]))
        return found


def ends(backbone: Backbone, ids: Ids) -> Tensor:
    """Return the means of all tokens and of the first and the last ones, joined."""
    pieces = (ids, ids[:END], ids[-END:])
    return torch.cat([vector_of(backbone, piece, 0, "root") for piece in pieces])


VECTORS: dict[str, Callable[[Backbone, Ids], Tensor]] = {
    "mean": lambda backbone, ids: vector_of(backbone, ids),
    "root": lambda backbone, ids: vector_of(backbone, ids, 0, "root"),
    "ends": ends,
}


def seen(backbone: Backbone, data: str) -> World:
    """Read all tasks' prompts in all words."""
    stream = load_stream(
        StreamSettings(
            order="4",
            data_root=data,
            dev_from="train",
            balanced=True,
            train_per_task=TRAIN,
            test_per_task=TEST,
        )
    )[0]
    world = World(backbone, stream)
    reader = Reader(backbone, BEST)
    assert reader.turn is not None
    for task in stream.tasks:
        train = [row.text for row in task.train]
        for wording in range(WORDINGS):
            prompts = [asked(task, text, wording) for text in train]
            world.put(task.name, f"train, wording {wording}", read(backbone, prompts))
        check(task, train)
        world.put(task.name, "train, text alone", read(backbone, [bare(text) for text in train]))
        for words, prompts in prompts_of(backbone, task, task.test).items():
            found = read(backbone, prompts)
            world.put(task.name, words, found)
            if words.startswith("chat"):
                last = [tuple(reader.turn.last(ids)) for ids in found]
                world.put(task.name, f"{words}, last question", last)
        print(task.name, file=sys.stderr, flush=True)
    return world


def check(task: Task, texts: Sequence[str]) -> None:
    """See that the first wording and layout are the ones that tasks are trained with."""
    assert all(asked(task, text).full == ordinary(task, text).full for text in texts[:5])
