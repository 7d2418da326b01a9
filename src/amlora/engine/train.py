"""THE training loop: one stage of one method, on any number of processes, from any step.

A plain loop. Batches and random numbers are pure functions of (seed, stage, step), so a run that
was killed goes on from a checkpoint with the same numbers. Each micro-batch's loss is a sum over
its targets divided by the step's target count over all micro-batches and processes, so gradients
are added up, never averaged, and process counts agree.
"""

import math
from collections.abc import Callable
from typing import Annotated

import torch
from accelerate import Accelerator
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt
from torch import Tensor, nn

from amlora.engine.batch import length, micro_batches, plan, seed_of
from amlora.engine.optimiser import add_up, load_moments, make_optimiser, moments
from amlora.engine.settings import TrainSettings
from amlora.methods.base import Method, Stage


class StageProgress(BaseModel):
    """Where a stage stands: what a checkpoint holds beside the method's own state."""

    model_config = ConfigDict(
        strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
    )

    step: NonNegativeInt = 0
    """Steps done."""
    losses: list[float] = []
    """The task loss of every step done."""
    tokens: Annotated[int, Field(ge=0, lt=2**53)] = 0
    """Tokens read by all processes."""
    terms: dict[str, float] = {}
    """Each loss term's sum over the steps done."""
    moments: Annotated[dict[str, Tensor], Field(exclude=True)] = {}
    """The optimiser's state; it has a file of its own."""


class NonFiniteLoss(RuntimeError):
    """The loss became infinite or not a number; nothing was changed by that step."""

    def __init__(self, stage: Stage, step: int, terms: dict[str, float], rows: list[str]) -> None:
        shown = ", ".join(f"{name} {value}" for name, value in terms.items())
        super().__init__(
            f"the loss is not finite in task {stage.task!r} at step {step}: {shown};"
            f" rows: {', '.join(rows)}."
        )


StepDone = Callable[[StageProgress, dict[str, float]], None]
"""Called after every step with the progress and the step's loss terms."""


def train_stage(
    method: Method,
    stage: Stage,
    settings: TrainSettings,
    accelerator: Accelerator,
    progress: StageProgress,
    done: StepDone,
) -> None:
    """Train one stage from `progress.step` to its end.

    Args:
        method: its `begin` was called, or its `resume`.
        stage: the task.
        settings: the optimisation.
        accelerator: knows the processes; the model is on its device already.
        progress: changed in place, step by step.
        done: called after each step.

    Raises:
        NonFiniteLoss: before the optimiser moved.
    """
    backbone = method.backbone
    rows = method.examples(stage)
    steps = plan(
        rows,
        batch=settings.batch,
        steps=stage.steps,
        seed=method.seed,
        stage=stage.index,
        bucketed=settings.bucketed,
    )
    groups = method.parameters()
    optimiser = make_optimiser(groups, settings)
    load_moments(optimiser, progress.moments)
    weights = [weight for group in groups for weight in group.parameters]
    backbone.model.train()
    for step in range(progress.step, stage.steps):
        method.before_step(stage, step)
        drawn = method.step_rows(stage, step, [rows[i] for i in steps[step]])
        chosen = method.readable(drawn, scoring=False)
        totals: dict[str, float] = {}
        batches = micro_batches(
            chosen,
            backbone,
            size=settings.micro_batch,
            tokens=settings.micro_tokens,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        for index, batch in enumerate(batches):
            place = (method.seed, stage.index, step, index, accelerator.process_index)
            torch.manual_seed(seed_of(*place, "dropout"))
            with backbone.arithmetic():
                terms = method.loss(batch)
            backward(terms, totals)
        if accelerator.num_processes > 1:
            add_up(weights, totals, accelerator)
        method.before_update(stage, step)
        norm = nn.utils.clip_grad_norm_(weights, settings.clip or math.inf)
        backward(method.penalty(), totals)
        if not (math.isfinite(sum(totals.values())) and torch.isfinite(norm)):
            raise NonFiniteLoss(stage, step, totals, [f"{row.task}/{row.row}" for row in chosen])
        factor, rates = settings.rate(step, stage.steps), dict[str, float]()
        for group, moved in zip(groups, optimiser.param_groups, strict=True):
            peak = settings.lr if group.lr is None else group.lr
            moved["lr"] = rates[group.name] = factor * peak
        optimiser.step()
        optimiser.zero_grad()
        method.after_step(stage, step, rates)
        progress.step = step + 1
        progress.losses.append(totals["task"])
        for name, value in totals.items():
            progress.terms[name] = progress.terms.get(name, 0.0) + value
        progress.tokens += sum(length(row) - 1 for row in chosen)
        progress.moments = moments(optimiser)
        done(progress, totals)


def backward(terms: dict[str, Tensor], totals: dict[str, float]) -> None:
    """Add the gradients of some terms, and their values to the step's totals."""
    if terms:
        torch.stack([term.float() for term in terms.values()]).sum().backward()
    for name, term in terms.items():
        totals[name] = totals.get(name, 0.0) + term.item()
