"""What a continual-learning method is: a handful of hooks, each with a default.

The training loop (`engine/train.py`) calls them in this order, stage after stage:

    begin(stage)                 make room for the new task: a new LoRA, a buffer, an anchor
    examples(stage)              rows to train on, this task's by default
    parameters()                 what the optimiser may move, in groups with their own rates
    step_rows(stage, step, rows) the rows of one step, to which replay adds
    readable(rows)               rows as the model reads them: with soft prompts in front, or routed
    loss(batch)                  named terms, once per micro-batch; they are added up
    before_update(stage, step)   gradients may be changed, once per step, before clipping
    penalty()                    named terms, once per step, outside gradient clipping
    after_step(stage, step, lr)  after the optimiser moved
    remarks(stage)               what of the stage did next to nothing
    end(stage)                   freeze, fill a buffer, measure a Fisher

A hook is given a `Stage` and never the stream, so no method can see later tasks' data.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.engine.batch import Batch, task_loss
from amlora.engine.encode import Row
from amlora.errors import InputError
from amlora.formats import typed
from amlora.mixture.mixture import Mixture
from amlora.mixture.tensors import Shape, check_tensor
from amlora.settings import Settings as MethodSettings
from amlora.streams.prompt import Form, Prefix
from amlora.streams.task import Task

Kind = TypeVar("Kind")
Terms = dict[str, Tensor]
"""Scalars by name; the loop adds them up and logs each."""
LITTLE = 0.01
"""Share of what it acts beside below which a part of a method does next to nothing."""
Schedule = Literal["per_task", "joint"]
"""per_task: one model through all tasks. joint: one stage with all tasks' rows."""


class NoSettings(MethodSettings):
    """A method without settings."""


@dataclass(frozen=True)
class Stage:
    """One task as a method may see it: its training rows and nothing that is learned later.

    With blurred borders (`stream.border`) some rows are those of neighbouring tasks.
    """

    index: int
    """0 for the first task."""
    task: str
    rows: Sequence[Row]
    steps: int
    """Optimiser steps of this stage."""
    sources: tuple[Task, ...] = ()
    """The same rows as texts with the words around them; their dev and test rows are left out."""
    prefix: Prefix = "off"
    """How `rows` were encoded, for `encode_rows`."""
    form: Form = "full"
    """Likewise."""
    own: tuple[int, ...] | None = None
    """Places in `rows` of those that a prompt of this stage is told by. None: all of them.

    Where borders are found, the last rows before one are learned, but not taken for typical."""

    def typical(self) -> Sequence[Row]:
        """Return the rows that a prompt of this stage is told by."""
        return self.rows if self.own is None else [self.rows[place] for place in self.own]


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate; without one they get `train.lr`."""

    name: str
    parameters: list[nn.Parameter]
    lr: float | None = None


@dataclass
class State:
    """What must survive a kill: tensors for safetensors, plain values for JSON."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def take(self, name: str, shape: Shape, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return a tensor.

        Args:
            name: its key.
            shape: None for a size that may be any.
            dtype: what it must have.

        Raises:
            InputError: it is missing, has another shape or dtype, or is not finite.
        """
        if name not in self.tensors:
            raise InputError(f"{name}: missing from the stored state.")
        check_tensor(name, self.tensors[name], shape, str(dtype).removeprefix("torch."))
        return self.tensors[name]

    def value(self, name: str, kind: type[Kind]) -> Kind:
        """Return a plain value as what it must be.

        Raises:
            InputError: it is missing or of another kind.
        """
        if name not in self.values:
            raise InputError(f"{name}: missing from the stored state.")
        return typed(name, self.values[name], kind)


class Method:
    """Train everything `parameters` returns on the current task; the rest is up to subclasses."""

    schedule: ClassVar[Schedule] = "per_task"
    needs_task_id: ClassVar[bool] = False
    """Whether `route` must be told the task before an answer."""
    stores_examples: ClassVar[bool] = False
    """Whether rows of earlier tasks are kept, or made up, and trained on again."""
    makes_examples_up: ClassVar[bool] = False
    """Whether these are written by the model, so that there may be none."""
    per_task: ClassVar[tuple[str, ...]] = ()
    """Settings that may be a list with one number per task, whose length a run checks."""
    version: ClassVar[int] = 1
    """Raised when the same settings would give other results: a part of every run's identity."""
    Settings: ClassVar[type[MethodSettings]] = NoSettings
    mixture: Mixture | None = None
    """The LoRAs that answer all tasks; a run keeps them as skills."""

    def __init__(self, backbone: Backbone, settings: MethodSettings, *, seed: int) -> None:
        self.backbone = backbone
        self.settings = settings
        self.seed = seed

    @classmethod
    def trains_base(cls, settings: MethodSettings) -> bool:
        """Tell whether the pretrained weights move: they are then kept in float32."""
        return False

    @classmethod
    def statistic_depth(cls, settings: MethodSettings) -> int | None:
        """Return behind how many frozen layers the statistic that tells prompts apart reads them.

        None: there is no such statistic, so borders between tasks cannot be found.
        """
        return None

    def begin(self, stage: Stage) -> None:
        """Prepare for a new task; everything `parameters` needs must exist afterwards."""

    def begin_changes_answers(self, stage: Stage) -> bool:
        """Tell whether `begin` alone can change the model's answers on earlier tasks."""
        return False

    def examples(self, stage: Stage) -> Sequence[Row]:
        """Return the rows to train on."""
        return stage.rows

    def step_rows(self, stage: Stage, step: int, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows of one step, given those drawn from `examples`; the same at any call."""
        return rows

    def readable(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return rows as the model reads them now.

        With the ids of soft prompts (`parts/prompts`), or the route to stages (`engine/route`).
        Called for the rows of a step and, after `route`, for rows that are scored.
        """
        return rows

    def soft_tokens(self, tasks: int) -> int:
        """Return by how many tokens `readable` makes a row longer at most.

        Args:
            tasks: how many have begun.
        """
        return 0

    def parameters(self) -> list[Group]:
        """Return what the optimiser may move."""
        raise NotImplementedError(type(self).__name__)

    def loss(self, batch: Batch) -> Terms:
        """Return the terms of one micro-batch, each already weighted by `batch.share`."""
        return {"task": task_loss(self.backbone, batch)}

    def penalty(self) -> Terms:
        """Return terms that do not depend on data."""
        return {}

    def before_step(self, stage: Stage, step: int) -> None:
        """Do what depends on the step alone; called before its forward passes, also on resume."""

    def before_update(self, stage: Stage, step: int) -> None:
        """Change gradients of the data's loss: those of all processes, added up, before clipping.

        Must do the same in every process.
        """

    def after_step(self, stage: Stage, step: int, lr: dict[str, float]) -> None:
        """Do what follows the optimiser's move.

        Args:
            stage: the current stage.
            step: 0 for the first step.
            lr: the rate each group was just moved with, by group name.
        """

    def remarks(self, stage: Stage) -> list[str]:
        """Return what of a stage did next to nothing and is no term of the loss, a line each.

        Called after the last step, before `end`; a run says and records it.
        """
        return []

    def end(self, stage: Stage) -> None:
        """Close the task."""

    def route(self, task: str | None) -> None:
        """Prepare the model for answers on a task; None where no task id is given.

        A method that needs one lets the base model answer then: the prompt is of no task it knows.
        """

    def stored_parameters(self) -> int:
        """Return how many numbers must be kept to answer all tasks learned so far."""
        raise NotImplementedError(type(self).__name__)

    def stored_examples(self) -> list[Row]:
        """Return the rows that are kept for later training, made-up ones included."""
        return []

    def texts(self) -> dict[str, str]:
        """Return files for a reader of the run's folder, contents by name."""
        return {}

    def state(self) -> State:
        """Return everything that changed since the pretrained model, trained or remembered."""
        raise NotImplementedError(type(self).__name__)

    def restore(self, state: State) -> None:
        """Take back what `state` returned, between two stages."""
        raise NotImplementedError(type(self).__name__)

    def resume(self, state: State, stage: Stage) -> None:
        """Take back what `state` returned within a stage; what `begin` made trainable is again."""
        raise NotImplementedError(type(self).__name__)
