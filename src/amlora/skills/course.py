"""One course of training: the engine's loop, looks at the stop rows, and the best weights so far.

Before the first step and after every so many, the mean loss of the stop rows' answers is taken. The
weights of the least loss are kept and put back at the end; several looks in a row without a smaller
one end the course. All of it is in the checkpoint, so that a killed course goes on with the same
numbers.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import torch
from accelerate import Accelerator
from torch import Tensor

from amlora import formats
from amlora.engine.backbone import Backbone
from amlora.engine.batch import length, seed_of
from amlora.engine.checkpoint import Checkpoint, Count, RunProgress
from amlora.engine.encode import Row
from amlora.engine.exact import passes
from amlora.engine.settings import TrainSettings
from amlora.engine.train import NonFiniteLoss, StageProgress, train_stage
from amlora.experiment.reporter import Reporter
from amlora.methods.base import Stage, State
from amlora.methods.lora import LoRAMethod
from amlora.mixture.mixture import STACKS
from amlora.records.schema import Amount, Part
from amlora.records.skills import Tried
from amlora.settings import Many

LOOKS = 8
"""At the stop rows in a course of so many steps or more, besides the one before its first step."""
SAVE_EVERY = 50
"""Steps between checkpoints, where no look comes earlier."""
TOKENS_PER_BATCH = {"cpu": 2048, "cuda": 16_384}
"""Most tokens in a forward pass of a look, padding included, by the kind of device."""
BEST, LOOKED = "best/", "looked"
"""In a checkpoint: how the best weights' names begin, and where `Looked` is."""

Look = tuple[Count, Amount, Amount]
"""Step, train loss since the look before (0 at the first), stop loss; nats a target token."""


class Looked(Part):
    """What a checkpoint holds beside the engine's own."""

    losses: Many[Look] = ()
    tried: Many[Tried] = ()
    """Rates that were tried before the course."""


class Enough(Exception):
    """Ends the loop: the stop rows get no better."""


class Course:
    """One training of a method's newest LoRA, and where it stands."""

    def __init__(
        self,
        method: LoRAMethod,
        stage: Stage,
        stop: Sequence[Row],
        train: TrainSettings,
        *,
        patience: int | None,
        looks: int = LOOKS,
        accelerator: Accelerator,
        reporter: Reporter,
        save: Callable[["Course", bool], None],
    ) -> None:
        """Make a course.

        Args:
            method: all below the new LoRA is in its mixture.
            stage: its rows and steps.
            stop: the rows that are looked at; none: nothing is.
            train: the optimisation.
            patience: looks without a better one that end it; None: all steps are done, and the last
                weights are kept.
            looks: after steps.
            accelerator: of one process.
            reporter: told of every step.
            save: called after every step, with whether a checkpoint is due; may raise.
        """
        self.method, self.stage, self.stop, self.train = method, stage, stop, train
        self.patience = patience
        self.every = math.ceil(stage.steps / looks)
        self.accelerator, self.reporter, self.save = accelerator, reporter, save
        self.within = StageProgress()
        self.losses: list[Look] = []
        self.best: dict[str, Tensor] = {}  # weights of the best look, where it will be kept
        self.seconds = {"train": 0.0, "look": 0.0}
        self.clock = time.perf_counter()

    def begin(self, *, look: bool) -> None:
        """Make the new LoRA, and take the first look if wanted."""
        self.method.begin(self.stage)
        if look:
            self.look()
        self.save(self, True)

    def resume(self, found: Checkpoint) -> None:
        """Go on from where a checkpoint stands; InputError where its tensors do not fit."""
        self.method.resume(found.state, self.stage)
        self.within = found.within
        self.losses = list(looked_of(found).losses)
        self.seconds |= found.progress.seconds
        if self.patience is not None and self.losses:
            stored = State(found.tensors)
            self.best = {
                name: stored.take(BEST + name, weight) for name, weight in self.weights().items()
            }

    def run(self) -> None:
        """Train to the end, put the best weights back, and freeze all."""
        self.clock = time.perf_counter()
        begun, before = self.clock, self.within.tokens

        def done(state: StageProgress, terms: dict[str, float]) -> None:
            speed = (state.tokens - before) / (time.perf_counter() - begun)
            self.reporter.step(state.step, self.stage.steps, terms, speed)
            last = state.step == self.stage.steps
            due = last or state.step % self.every == 0
            if due:
                self.look()
            self.spent("train")
            self.save(self, due or state.step % SAVE_EVERY == 0)
            if self.ended:
                raise Enough

        if not self.ended:
            with suppress(Enough):
                train_stage(
                    self.method, self.stage, self.train, self.accelerator, self.within, done
                )
        for name, weight in self.weights().items():
            if name in self.best:
                weight.data.copy_(self.best[name])
        self.method.end(self.stage)

    def look(self) -> None:
        """Take the loss of the stop rows' answers, and keep weights that are the best so far.

        The new LoRA is let in wholly, as it will be when it answers.
        """
        if not self.stop:
            return
        self.spent("train")
        control, step = self.method.mixture.control, self.within.step
        shut, control.newcomer = control.newcomer, 0.0
        try:
            loss = mean_loss(self.method.backbone, self.stop)
        finally:
            control.newcomer = shut
        if not math.isfinite(loss):
            names = [f"{row.task}/{row.row}" for row in self.stop]
            raise NonFiniteLoss(self.stage, step, {"stop": loss}, names)
        since = self.within.losses[self.losses[-1][0] if self.losses else 0 :]
        self.losses.append((step, math.fsum(since) / max(1, len(since)), loss))
        if self.patience is not None and self.best_step == step:
            self.best = {name: weight.detach().clone() for name, weight in self.weights().items()}
        self.spent("look")

    @property
    def best_step(self) -> int:
        """The step whose weights are kept: of the first look with the least loss, or the last."""
        if self.patience is None or not self.losses:
            return self.within.step
        return min(self.losses, key=lambda look: look[2])[0]

    @property
    def ended(self) -> bool:
        """Whether so many looks in a row have brought nothing that it is enough."""
        since = sum(step > self.best_step for step, _, _ in self.losses)
        return self.patience is not None and since >= self.patience

    def weights(self) -> dict[str, Tensor]:
        """Return the trained tails by name (no copy)."""
        return {
            f"{name}.{stack}": tail
            for name, layer in self.method.mixture.layers.items()
            for stack, tail in zip(STACKS, layer.bank.tails(), strict=True)
            if len(tail)
        }

    def spent(self, phase: str) -> None:
        """Book the time since the last call on a phase."""
        now = time.perf_counter()
        self.seconds[phase] += now - self.clock
        self.clock = now

    def checkpoint(
        self, environment: dict[str, object], facts: dict[str, object], tried: Sequence[Tried]
    ) -> Checkpoint:
        """Return all that is needed to go on from here (no copy)."""
        state = self.method.state()
        looked = Looked(losses=tuple(self.losses), tried=tuple(tried))
        return Checkpoint(
            stage=0,
            phase="train",
            values={**state.values, LOOKED: formats.plain(looked)},
            tensors={**state.tensors, **{BEST + name: best for name, best in self.best.items()}},
            progress=RunProgress(seconds=dict(self.seconds)),
            within=self.within,
            environment=environment,
            facts=facts,
        )


def looked_of(found: Checkpoint) -> Looked:
    """Return what a checkpoint of a course holds of its looks; InputError where it holds none."""
    return formats.typed(f"the checkpoint: {LOOKED}", found.values.get(LOOKED), Looked)


def mean_loss(backbone: Backbone, rows: Sequence[Row]) -> float:
    """Return the loss of some rows' answers in nats a target token, over all tokens alike."""
    most = TOKENS_PER_BATCH.get(backbone.model.device.type, TOKENS_PER_BATCH["cpu"])
    losses = [loss for found in passes(backbone, rows, most) for loss in found.losses]
    return math.fsum(losses) / len(losses)


def some_of(rows: Sequence[Row], *, most: int, tokens: float, seed: int) -> list[Row]:
    """Return random rows in their order: at most `most`, and about so many tokens, one at least."""
    generator = torch.Generator().manual_seed(seed_of(seed, "some rows"))
    order: list[int] = torch.randperm(len(rows), generator=generator).tolist()
    chosen: list[int] = []
    read = 0
    for place in order[:most]:
        if chosen and read + length(rows[place]) > tokens:
            break
        chosen.append(place)
        read += length(rows[place])
    return [rows[place] for place in sorted(chosen)]
