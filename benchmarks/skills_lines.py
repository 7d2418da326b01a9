"""The lines that `skills.py` compares, and how one is measured.

    base     the model before it learns anything
    choice   the first task alone, on dev rows
    one      one LoRA, trained on and on: `sin_lora`
    merge    each task's LoRA merged into the model, a new one learned on top: `inc_lora`, whose
             frozen sum of LoRAs is the merged model, but for rounding
    told     a LoRA for each task, learned on the base model; told the task of each prompt
    learn    `amlora learn`: `skills_learn.py`

All are optimised as `learn` is. The first task is the same for all of them: one LoRA on the base
model.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from peak import highest
from skills_cells import BASE, CHOICE, LEARN, Cell, Entry, Protocol, keep, read
from skills_learn import LearnLine

from amlora import files
from amlora.engine.backbone import Backbone, base_of
from amlora.engine.encode import Row, encode_rows, longest_option
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.engine.train import StageProgress, train_stage
from amlora.errors import InputError
from amlora.methods import method_class
from amlora.methods.base import Method, Stage, State
from amlora.methods.per_task_ft import PerTaskFT
from amlora.mixture.peft_files import adapter_files
from amlora.skills.metric import choose_metric
from amlora.skills.score import room_for, score_rows
from amlora.skills.settings import LearnSettings
from amlora.skills.train import optimisation
from amlora.streams.prompt import build_prompt
from amlora.streams.task import Example, Task

METHODS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    CHOICE: ("sin_lora", {}),
    "one": ("sin_lora", {}),
    "merge": ("inc_lora", {}),
    "told": ("per_task_ft", {"trainable": "lora"}),
}
"""Lines that are methods of amlora, with their settings."""
TOKENS = 2048
"""Most in a forward pass of scoring."""
PLACES = 4
"""Digits of a score and of a loss that are kept."""
Scores = dict[str, list[float]]
"""Of each test row, 0..1, by task."""


def measure(cell: Cell, tasks: Sequence[Task], protocol: Protocol, out: Path, work: Path) -> None:
    """Learn the stages of a cell that are not known yet, and append what each scores.

    Args:
        cell: what to measure.
        tasks: with the rows of the cell's seed.
        protocol: what all lines share.
        out: a file of JSON lines.
        work: a folder for what has been learned.
    """
    torch.set_num_threads(1)
    known = [entry for entry in read(out) if cell.of(entry)]
    if cell.line == LEARN:
        line = LearnLine(cell, protocol, tasks, work, PLACES)
    else:
        settings = ModelSettings(
            name=protocol.model, precision="bfloat16", device="cpu", max_tokens=protocol.max_tokens
        )
        backbone = load_backbone(settings)
        if cell.line == BASE:
            line = BaseLine(backbone, tasks)
        else:
            line = MethodLine(cell, backbone, protocol, tasks, work)
    line.restore(len(known))
    for index in range(len(known), len(tasks)):
        facts = line.learn(index)
        earlier = known[-1]["scores"] if index else {}
        entry = {"stage": index, "task": tasks[index].name, **facts, **line.score(index, earlier)}
        entry["peak_bytes"] = highest()
        keep(out, cell, entry)
        known.append(entry)


def scored(
    backbone: Backbone,
    tasks: Mapping[str, Task],
    ready: Callable[[str, Sequence[Row]], Sequence[Row]] = lambda _, rows: rows,
    split: str = "test",
) -> tuple[Scores, dict[str, float]]:
    """Score rows of tasks; return each row's score, and the seconds that this took.

    `ready` prepares the model for a task and returns its rows as the model reads them.
    """
    scores: Scores = {}
    begun = time.perf_counter()
    for name, task in tasks.items():
        examples = task.test if split == "test" else task.dev
        rows = ready(name, encoded(backbone, task, examples))
        bare = build_prompt(task, "", prefix="off", form="full")
        longest = longest_option(backbone, bare, task.options)
        found = score_rows(
            backbone,
            rows,
            choose_metric(task),
            max_new_tokens=room_for(encoded(backbone, task, task.train), longest),
            tokens_per_batch=TOKENS,
        )
        scores[name] = [round(row.score, PLACES) for row in found]
    return scores, {"score_seconds": round(time.perf_counter() - begun, 1)}


def encoded(backbone: Backbone, task: Task, examples: Sequence[Example]) -> list[Row]:
    """Return examples as token ids, in the usual prompt."""
    return encode_rows(backbone, task, examples, prefix="off", form="full")[0]


@dataclass
class Learned:
    """Where a method stands: what its folder holds."""

    stage: int
    """The last one that was learned."""
    values: dict[str, Any]
    """Of the method's state; its tensors have a file of their own."""
    sha256: str
    """Of that file."""
    facts: Entry
    """Of the stage."""


class BaseLine:
    """The model as it is."""

    def __init__(self, backbone: Backbone, tasks: Sequence[Task]) -> None:
        self.backbone, self.tasks = backbone, tasks

    def restore(self, stages: int) -> None:
        """Do nothing."""

    def learn(self, index: int) -> Entry:
        """Learn nothing."""
        return {}

    def score(self, index: int, earlier: Scores) -> Entry:
        """Score one task."""
        task = self.tasks[index]
        scores, seconds = scored(self.backbone, {task.name: task})
        return {"scores": scores, **seconds}


class MethodLine:
    """A method that learns task after task."""

    def __init__(
        self, cell: Cell, backbone: Backbone, protocol: Protocol, tasks: Sequence[Task], work: Path
    ) -> None:
        self.cell, self.backbone, self.protocol = cell, backbone, protocol
        self.tasks, self.work = tasks, work
        self.base = base_of(backbone)  # before anything is put into it
        name, settings = METHODS[cell.line]
        chosen = method_class(name)
        self.method: Method = chosen(backbone, chosen.Settings(**settings), seed=cell.seed)
        self.ahead: Learned | None = None

    def restore(self, stages: int) -> None:
        """Take back what so many stages have learned, or a stage more that was not scored yet.

        Raises:
            InputError: the folder holds neither.
        """
        place = self.work / "learned.json"
        if not files.exists(place):
            if stages:
                raise InputError(f"{self.work}: {stages} stages are scored, but nothing is there.")
            return
        value = files.read_sealed(place)
        value.pop("digest")
        found = Learned(**value)
        if found.stage + 1 not in (stages, stages + 1):
            raise InputError(f"{self.work}: stage {found.stage}, but {stages} are scored.")
        tensors = files.read_tensors(self.tensors(found.stage), sha256=found.sha256)
        self.method.restore(State(tensors, found.values))
        self.ahead = found if found.stage == stages else None

    def tensors(self, stage: int) -> Path:
        """Return the file of a stage's tensors."""
        return self.work / f"stage-{stage}.safetensors"

    def learn(self, index: int) -> Entry:
        """Learn a task; return what that took."""
        if self.ahead is not None:
            facts, self.ahead = self.ahead.facts, None
            return facts
        protocol, task = self.protocol, self.tasks[index]
        rows = encoded(self.backbone, task, task.train)
        first = self.method.needs_task_id  # each LoRA is the first on its model
        stage = Stage(0 if first else index, task.name, rows, protocol.steps)
        train = optimisation(LearnSettings(batch=protocol.batch), self.cell.rate, "cpu")
        begun, progress = time.perf_counter(), StageProgress()
        self.method.begin(stage)
        train_stage(self.method, stage, train, Accelerator(cpu=True), progress, done=no_report)
        self.method.end(stage)
        facts = {
            "rows": len(rows),
            "tokens": progress.tokens,
            "losses": [round(loss, PLACES) for loss in progress.losses],
            "train_seconds": round(time.perf_counter() - begun, 1),
            "stored_bytes": self.stored(index),
        }
        self.keep(index, facts)
        return facts

    def stored(self, index: int) -> int:
        """Return the bytes of the adapter files that answer all tasks so far."""
        if isinstance(self.method, PerTaskFT):
            mixture, count = self.method.trainable.mixture, index + 1
        else:
            mixture, count = self.method.mixture, None
        assert mixture is not None
        targets, shapes = tuple(mixture.layers), zip(*mixture.shapes(), strict=True)
        held = [
            adapter_files(self.base, targets, rank, alpha, mixture.lora(place))
            for place, (rank, alpha) in enumerate(shapes)
        ]
        return sum(len(data) for each in held for data in each.values()) * (count or 1)

    def keep(self, index: int, facts: Entry) -> None:
        """Write what has been learned; the file that names the tensors comes last."""
        state = self.method.state()
        data = files.tensor_bytes(state.tensors, {})
        files.make_folder(self.work)
        files.write_bytes(self.tensors(index), data)
        found = Learned(index, state.values, files.sha256_bytes(data), facts)
        files.write_sealed(self.work / "learned.json", vars(found))
        if index:
            files.discard(self.tensors(index - 1))

    def score(self, index: int, earlier: Scores) -> Entry:
        """Score the tasks learned so far; those that answer as before keep the scores they had."""
        if self.cell.line == CHOICE:
            task = self.tasks[index]
            scores, seconds = scored(self.backbone, {task.name: task}, self.ready, "dev")
            return {"dev": scores[task.name], **seconds}
        told = self.method.needs_task_id
        tasks = {task.name: task for task in self.tasks[index if told else 0 : index + 1]}
        scores, seconds = scored(self.backbone, tasks, self.ready)
        return {"scores": {**earlier, **scores}, **seconds}

    def ready(self, name: str, rows: Sequence[Row]) -> Sequence[Row]:
        """Prepare the model for a task; return its rows as the model reads them."""
        self.method.route(name if self.method.needs_task_id else None)
        return self.method.readable(rows, scoring=True)


def no_report(progress: StageProgress, terms: dict[str, float]) -> None:
    """Say nothing of a step."""
