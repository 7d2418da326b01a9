"""What a continual-learning method is: a class with a handful of hooks.

Five hooks are all that most methods need. The loop (`engine/train.py`) calls them task after task:

    begin(stage)     make room for the task: a new LoRA, a prompt, a buffer
    parameters()     what the optimiser may move, in groups with their own rates
    loss(batch)      named terms that depend on rows, once per micro-batch
    penalty()        named terms that depend on weights alone, once per step
    end(stage)       the task is learned: freeze, measure, fill the buffer

The advanced ones, each with a default that does nothing:

    open(stage)                  let learn what `begin` made; called by `begin`, and on resume
    examples(stage)              the rows to train on
    step_rows(stage, step, rows) the rows of one step, to which replay adds
    readable(rows, scoring=...)  rows as the model reads them: soft prompts in front, or routed
    before_step(stage, step)     what depends on the step alone
    before_update(stage, step)   change gradients, before clipping
    after_step(stage, step, lr)  after the optimiser moved
    remarks(stage)               what of the stage did next to nothing
    route(task)                  be ready to answer; for methods that are told the task

A hook is given a `Stage` and never the stream, so no method can see later tasks' data.

What a method must remember it names once, where it makes it: `keep`, `keep_tensors`, `keep_value`.
That alone makes a killed run go on as if nothing had happened.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from amlora.engine.backbone import Backbone
from amlora.engine.batch import Batch, task_loss
from amlora.engine.encode import Row
from amlora.methods.state import Kept, KeptTensors, KeptValue, Like, State
from amlora.mixture.mixture import Mixture
from amlora.settings import Settings as MethodSettings
from amlora.streams.prompt import Form, Prefix
from amlora.streams.task import Task

Terms = dict[str, Tensor]
"""Scalars by name; the loop adds them up and logs each."""
LITTLE = 0.01
"""Share of what it acts beside below which a part of a method does next to nothing."""
Schedule = Literal["per_task", "joint"]
"""per_task: one model through all tasks. joint: one stage with all tasks' rows."""


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
class ParameterGroup:
    """Parameters that share a learning rate; without one they get `train.lr`."""

    name: str
    parameters: Sequence[Tensor]
    """Leaves that require gradients."""
    lr: float | None = None


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
    Settings: ClassVar[type[MethodSettings]] = MethodSettings
    settings: Any
    """An object of `Settings`; a subclass says which: `settings: EWCSettings`."""
    mixture: Mixture | None = None
    """The LoRAs that answer all tasks; a run keeps them as skills."""

    def __init__(self, backbone: Backbone, settings: MethodSettings, *, seed: int) -> None:
        self.backbone = backbone
        self.settings = settings
        self.seed = seed
        self.remembered: list[Kept] = []

    # The five that most methods need.

    def begin(self, stage: Stage) -> None:
        """Make room for a new task, and `open` the stage."""
        self.open(stage)

    def parameters(self) -> list[ParameterGroup]:
        """Return what the optimiser may move."""
        raise NotImplementedError(type(self).__name__)

    def loss(self, batch: Batch) -> Terms:
        """Return the terms of one micro-batch, each already weighted by `batch.share`."""
        return {"task": task_loss(self.backbone, batch)}

    def penalty(self) -> Terms:
        """Return terms that do not depend on data."""
        return {}

    def end(self, stage: Stage) -> None:
        """Close the task."""

    # What must survive a kill: named once, stored and put back from here.

    def keep(self, part: Kept) -> None:
        """Remember a part that can say its own state, as a mixture of LoRAs can."""
        self.remembered.append(part)

    def keep_tensors(
        self,
        name: str,
        like: Like | Callable[[], Like | Mapping[str, Like]],
        *,
        optional: bool = False,
    ) -> None:
        """Remember an attribute that is a tensor, or a dict of tensors.

        Args:
            name: of the attribute.
            like: what it must be when it comes back: a shape (None: of any size), a tensor, or a
                function that returns one of these or several by name. It is called when what was
                named before has come back already.
            optional: whether it may be None, or empty.
        """
        wanted = like if callable(like) else lambda: like
        self.keep(KeptTensors(self, name, wanted, optional, self.backbone.model.device))

    def keep_value(self, name: str, kind: type[Any]) -> None:
        """Remember an attribute of plain values, or of dataclasses of them.

        It must be of `kind`, as in `list[int]`, when it comes back.
        """
        self.keep(KeptValue(self, name, kind))

    def state(self) -> State:
        """Return everything that is remembered (no copy)."""
        whole = State()
        for part in self.remembered:
            state = part.state()
            whole.tensors |= state.tensors
            whole.values |= state.values
        return whole

    def restore(self, state: State) -> None:
        """Take back what `state` returned, between two stages.

        Raises:
            InputError: names what is missing or does not fit.
        """
        for part in self.remembered:
            part.restore(state)

    def resume(self, state: State, stage: Stage) -> None:
        """Take back what `state` returned within a stage, and let it learn on."""
        self.restore(state)
        self.open(stage)

    # What it costs, for tables and refusals.

    def stored_parameters(self) -> int:
        """Return how many numbers must be kept to answer all tasks learned so far."""
        raise NotImplementedError(type(self).__name__)

    def stored_examples(self) -> list[Row]:
        """Return the rows that are kept for later training, made-up ones included."""
        return []

    # Advanced: hooks that few methods need.

    def open(self, stage: Stage) -> None:
        """Let learn what `begin` made; called by `begin`, and when a killed run goes on."""

    def examples(self, stage: Stage) -> Sequence[Row]:
        """Return the rows to train on."""
        return stage.rows

    def step_rows(self, stage: Stage, step: int, rows: Sequence[Row]) -> Sequence[Row]:
        """Return the rows of one step, given those drawn from `examples`; the same at any call."""
        return rows

    def readable(self, rows: Sequence[Row], *, scoring: bool) -> Sequence[Row]:
        """Return rows as the model reads them: with soft prompts (`parts/prompts`), or routed.

        Args:
            rows: of one step, over all processes; or, after `route`, rows to be answered.
            scoring: whether they are answered. Otherwise they are trained on, and it is called once
                a step.
        """
        return rows

    def soft_tokens(self, tasks: int) -> int:
        """Return by how many tokens `readable` makes a row longer at most, after so many tasks."""
        return 0

    def before_step(self, stage: Stage, step: int) -> None:
        """Do what depends on the step alone; called before its forward passes, also on resume."""

    def before_update(self, stage: Stage, step: int) -> None:
        """Change gradients of the data's loss: those of all processes, added up, before clipping.

        Must do the same in every process.
        """

    def after_step(self, stage: Stage, step: int, lr: dict[str, float]) -> None:
        """Do what follows the optimiser's move; `lr` has each group's rate in it, by name."""

    def remarks(self, stage: Stage) -> list[str]:
        """Return what of a stage did next to nothing and is no term of the loss, a line each.

        Called after the last step, before `end`; a run says and records it.
        """
        return []

    def route(self, task: str | None) -> None:
        """Prepare the model for answers on a task; None where no task id is given.

        A method that needs one lets the base model answer then: the prompt is of no task it knows.
        """

    def texts(self) -> dict[str, str]:
        """Return files for a reader of the run's folder, contents by name."""
        return {}

    def begin_changes_answers(self, stage: Stage) -> bool:
        """Tell whether `begin` alone can change the model's answers on earlier tasks."""
        return False

    @classmethod
    def trains_base(cls, settings: Any) -> bool:
        """Tell whether the pretrained weights move: they are then kept in float32."""
        return False

    @classmethod
    def statistic_depth(cls, settings: Any) -> int | None:
        """Return behind how many frozen layers the statistic that tells prompts apart reads them.

        None: there is no such statistic, so borders between tasks cannot be found.
        """
        return None
