"""Share of a run that is not forward, backward, optimiser or evaluation.

A real run through `experiment.run`, from the moment the base model is loaded to the end of the last
stage. The four kinds of work are timed where the loop calls them, from outside. What is left is
ours: the base's fingerprint, tokenising, batches, clipping, checkpoints, logs, rows on disk.
"""

import functools
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from row import Row
from size import Size
from subjects import Subject, subjects
from torch.optim import AdamW
from words import INSTRUCTION, made_up_task

from amlora.engine import train
from amlora.experiment import evaluation, prepare, stages
from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings, load_settings, settings_from
from amlora.methods import method_class
from amlora.streams.task import Example

METHOD = "am_lora"
CONFIG = Path(__file__).parents[1] / "configs" / "quickstart.toml"
QUICK_START = ("stream.train_per_task=48", "stream.test_per_task=15")
"""The quick start with a third of its steps and a quarter of its rows to score."""
MADE_UP = {"full": (80, 20, 50), "quick": (80, 20, 50), "smoke": (16, 8, 10)}
"""Train rows and test rows of each of four made-up tasks, and words of a text."""


class Clock:
    """Seconds by kind of work; work within work counts once, for the outer kind."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.working = False
        self.loaded = 0.0
        self.ended = 0.0

    def timing(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same call, which books its time on a kind."""

        @functools.wraps(call)
        def inside(*args: Any, **kwargs: Any) -> Any:
            if self.working:
                return call(*args, **kwargs)
            self.working, start = True, time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds[kind] += time.perf_counter() - start
                self.working = False

        return inside

    def load(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same call, which starts the clock at its end."""

        @functools.wraps(call)
        def inside(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            self.loaded = time.perf_counter()
            return result

        return inside

    def finish(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same call, which stops the clock at its start."""

        @functools.wraps(call)
        def inside(*args: Any, **kwargs: Any) -> Any:
            self.ended = time.perf_counter()
            return call(*args, **kwargs)

        return inside


def watched(settings: RunSettings, runs: Path) -> Clock:
    """Do a run with the clock at every place where the loop starts one of the four."""
    clock = Clock()
    method = method_class(settings.method.name)
    places = [
        (method, "loss", "forward"),
        (method, "penalty", "forward"),
        (train, "backward", "backward"),
        (AdamW, "step", "optimiser"),
        (evaluation, "score_rows", "evaluation"),
        (evaluation, "measure_margin", "evaluation"),
    ]
    with ExitStack() as held:
        for owner, name, kind in places:
            timed = clock.timing(kind, getattr(owner, name))
            held.enter_context(patch.object(owner, name, timed))
        load = clock.load(prepare.load_backbone)
        held.enter_context(patch.object(prepare, "load_backbone", load))
        finish = clock.finish(stages.StageLoop.finish)
        held.enter_context(patch.object(stages.StageLoop, "finish", finish))
        run(settings, runs=runs)
    return clock


def rows(size: Size) -> Iterator[Row]:
    """Run the quick start, made small; where its model is not at hand, made-up tasks."""
    with subjects(size) as found, TemporaryDirectory() as folder:
        subject = found[-1]
        if len(found) > 1:
            settings = load_settings(CONFIG, QUICK_START, METHOD)
        else:
            settings = made_up_run(subject, Path(folder) / "data", size)
        clock = watched(settings, Path(folder) / "runs")
    whole = clock.ended - clock.loaded
    rest = 1 - sum(clock.seconds.values()) / whole
    parts = ", ".join(f"{kind} {seconds:.1f}" for kind, seconds in clock.seconds.items())
    yield Row(
        name="share of a run that is none of the four kinds of work",
        ratio=rest,
        bar=0.05,
        floor=0.0,
        detail=f"{subject.label}, {METHOD}: {rest * whole:.1f} of {whole:.1f} s; {parts} s",
    )


def made_up_run(subject: Subject, folder: Path, size: Size) -> RunSettings:
    """Write four made-up tasks and return a run over them."""
    train_rows, test_rows, words = MADE_UP[size]
    names = [f"task-{index}" for index in range(4)]
    for index, name in enumerate(names):
        task = made_up_task(name, train=train_rows, test=test_rows, words=words, seed=index)
        (folder / name).mkdir(parents=True)
        for split, examples in (("train", task.train), ("dev", task.test), ("test", task.test)):
            (folder / name / f"{split}.jsonl").write_text(lines(examples), encoding="utf-8")
    tasks = [{"name": name, "source": name, "instruction": INSTRUCTION} for name in names]
    return settings_from(
        {
            "name": "overhead",
            "model": {"name": subject.settings.name},
            "method": {"name": METHOD},
            "stream": {"data_root": str(folder), "tasks": tasks},
            # Random weights never end an answer: generating would take most of the run.
            "evaluate": {"max_new_tokens": 4},
        }
    )


def lines(examples: tuple[Example, ...]) -> str:
    """Return examples as JSONL."""
    return "".join(
        json.dumps({"text": example.text, "label": example.label}) + "\n" for example in examples
    )
