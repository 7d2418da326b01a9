"""A training step of every method beside one of `sin_lora`, on the third of three tasks.

Earlier tasks are learned for one step each, so that buffers, anchors and older LoRAs exist. Every
method has its default settings: some train all weights, some a LoRA or a prompt.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from accelerate import Accelerator
from row import Row
from size import Size
from subjects import Subject, subjects
from timing import alternate
from words import made_up_task

from amlora.engine.backbone import Backbone
from amlora.engine.encode import encode_rows
from amlora.engine.settings import TrainSettings
from amlora.engine.train import StageProgress, train_stage
from amlora.methods import METHODS, method_class
from amlora.methods.base import Stage

BESIDE = "sin_lora"
TASKS = 3
WORDS = 40
"""Of a text; the prompt around it has about as many tokens."""
FEWER: dict[str, dict[str, Any]] = {
    "lfpt5": {
        "pseudo": {
            "per_label": 1,
            "oversample": 1,
            "attempts": 1,
            "max_text_tokens": WORDS,
            "self_check": False,
        }
    }
}
"""Settings other than the defaults: writing pseudo examples takes minutes, and is no part of a
step; that an untrained model's are poor does not matter here."""


def rows(size: Size) -> Iterator[Row]:
    """Compare each method on each model; on the quick-start model, which is larger, just once."""
    pairs, words = {"full": (3, WORDS), "quick": (1, WORDS), "smoke": (1, 5)}[size]
    with subjects(size) as (small, *large):
        yield from compared(small, words, 8, pairs)
        for subject in large:
            yield from compared(subject, words, 4, 1)


def compared(subject: Subject, words: int, batch: int, pairs: int) -> Iterator[Row]:
    """Compare every method; only one beside `sin_lora` is in memory at a time."""
    beside, _ = learner(subject, BESIDE, words, batch)
    for name in METHODS:
        if name == BESIDE:
            continue
        step, trained = learner(subject, name, words, batch)
        timed = alternate(step, beside, pairs=pairs)
        yield Row(
            name=f"{name} / {BESIDE}, training step",
            ratio=timed.ratio,
            detail=f"{subject.label}, task {TASKS}, {batch} rows: {timed.first:.3f} s,"
            f" {timed.second:.3f} s; {trained:,} numbers trained",
        )


def learner(subject: Subject, name: str, words: int, batch: int) -> tuple[Callable[[], float], int]:
    """Bring a method to its last task.

    Returns:
        A call that trains a stage of two steps and returns the seconds of the second (the first
        makes the optimiser's state, which a stage does once); and how many numbers are trained.
    """
    chosen = method_class(name)
    settings = chosen.Settings(**FEWER.get(name, {}))
    backbone = subject.load(frozen=not chosen.trains_base(settings))
    method = chosen(backbone, settings, seed=0)
    accelerator = Accelerator(cpu=True)
    train = TrainSettings(batch=batch, micro_batch=batch, lr=1e-5, bucketed=False)

    def seconds(stage: Stage) -> float:
        ends: list[float] = []

        def done(progress: StageProgress, terms: dict[str, float]) -> None:
            ends.append(time.perf_counter())

        train_stage(method, stage, train, accelerator, StageProgress(), done)
        return ends[-1] - ends[0]

    *earlier, last = stages(backbone, words, batch, joint=chosen.schedule == "joint")
    for stage in earlier:
        method.begin(stage)
        seconds(stage)
        method.end(stage)
    method.begin(last)
    trained = sum(weight.numel() for group in method.parameters() for weight in group.parameters)
    return lambda: seconds(last), trained


def stages(backbone: Backbone, words: int, batch: int, *, joint: bool) -> list[Stage]:
    """Return stages of made-up tasks, one step each but two in the last; one of all if joint."""
    tasks = [
        made_up_task(f"task-{index}", train=2 * batch, test=1, words=words, seed=index)
        for index in range(TASKS)
    ]
    encoded = [
        encode_rows(backbone, task, task.train, prefix="off", form="full")[0] for task in tasks
    ]
    if joint:
        together = [row for rows in encoded for row in rows]
        return [Stage(0, "all tasks", together, 2, tuple(tasks))]
    return [
        Stage(index, task.name, rows, 1 if index < TASKS - 1 else 2, (task,))
        for index, (task, rows) in enumerate(zip(tasks, encoded, strict=True))
    ]
