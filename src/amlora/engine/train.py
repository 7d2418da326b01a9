"""THE training loop: one stage of one method, on any number of processes, from any step.

A plain loop. Batches and random numbers are pure functions of (seed, stage, step), so a run that
was killed goes on from a checkpoint with the same numbers. Each micro-batch's loss is a sum over
its targets divided by the step's target count over all micro-batches and processes, so gradients
are added up, never averaged, and process counts agree.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from amlora.engine.batch import micro_batches, plan, seed_of
from amlora.engine.settings import TrainSettings
from amlora.errors import InputError
from amlora.methods.base import Group, Method, Stage
from amlora.mixture.tensors import check_tensor

ADAM = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of each weight."""
BUCKET = 2**20
"""Numbers that processes add up at once: few messages for small weights, little memory for big."""


@dataclass
class StageProgress:
    """Where a stage stands: what a checkpoint holds beside the method's own state."""

    step: int = 0
    """Steps done."""
    losses: list[float] = field(default_factory=list)
    """The task loss of every step done."""
    tokens: int = 0
    """Tokens read by all processes."""
    terms: dict[str, float] | None = field(default_factory=dict)
    """Each loss term's sum over the steps done; None where an older version did some of them."""
    moments: dict[str, Tensor] = field(default_factory=dict)
    """The optimiser's state."""


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
        factor = settings.rate(step, stage.steps)
        drawn = method.step_rows(stage, step, [rows[i] for i in steps[step]])
        chosen = method.readable(drawn)
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
        for group, wanted in zip(optimiser.param_groups, groups, strict=True):
            group["lr"] = factor * (settings.lr if wanted.lr is None else wanted.lr)
        optimiser.step()
        optimiser.zero_grad()
        rates = {g.name: p["lr"] for g, p in zip(groups, optimiser.param_groups, strict=True)}
        method.after_step(stage, step, rates)
        progress.step = step + 1
        progress.losses.append(totals["task"])
        if progress.terms is not None:
            for name, value in totals.items():
                progress.terms[name] = progress.terms.get(name, 0.0) + value
        progress.tokens += sum(len(row.prompt_ids) + len(row.answer_ids) - 1 for row in chosen)
        progress.moments = dict(moments(optimiser))
        done(progress, totals)


def make_optimiser(groups: list[Group], settings: TrainSettings) -> torch.optim.AdamW:
    """Return AdamW over the groups; rates are set at every step."""
    return torch.optim.AdamW(
        [{"params": group.parameters} for group in groups],
        lr=settings.lr,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def backward(terms: dict[str, Tensor], totals: dict[str, float]) -> None:
    """Add the gradients of some terms, and their values to the step's totals."""
    if terms:
        torch.stack([term.float() for term in terms.values()]).sum().backward()
    for name, term in terms.items():
        totals[name] = totals.get(name, 0.0) + term.item()


def add_up(weights: list[nn.Parameter], totals: dict[str, float], accelerator: Accelerator) -> None:
    """Add gradients and loss terms over all processes; all of them then hold the same.

    A process without rows adds nothing. A weight that has no gradient in any process keeps none, so
    that the optimiser passes it by as it does in one process.
    """
    told = gather_object([(dict(totals), [weight.grad is not None for weight in weights])])
    for name in told[0][0]:  # the main process has rows in every step
        totals[name] = math.fsum(terms.get(name, 0.0) for terms, _ in told)
    reached = zip(weights, zip(*(having for _, having in told), strict=True), strict=True)
    for bucket in buckets([weight for weight, having in reached if any(having)]):
        flat = torch.cat([gradient(weight).flatten() for weight in bucket])
        summed = cast(Tensor, accelerator.reduce(flat, "sum"))
        parts = summed.split([weight.numel() for weight in bucket])
        for weight, part in zip(bucket, parts, strict=True):
            weight.grad = part.view_as(weight)


def gradient(weight: nn.Parameter) -> Tensor:
    """Return a weight's gradient, zeros where it has none."""
    return torch.zeros_like(weight) if weight.grad is None else weight.grad


def buckets(weights: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Split weights into runs of one type and at most BUCKET numbers; a larger one is alone."""
    bucket: list[nn.Parameter] = []
    size = 0
    for weight in weights:
        size += weight.numel()
        if bucket and (size > BUCKET or weight.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], weight.numel()
        bucket.append(weight)
    if bucket:
        yield bucket


def moments(optimiser: torch.optim.AdamW) -> Iterator[tuple[str, Tensor]]:
    """Yield the optimiser's tensors as "<parameter's index>.<name>" (no copy)."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    for index, weight in enumerate(weights):
        for name, tensor in optimiser.state[weight].items():
            yield f"{index}.{name}", tensor


def load_moments(optimiser: torch.optim.AdamW, stored: dict[str, Tensor]) -> None:
    """Put back what `moments` yielded.

    Raises:
        InputError: a tensor is unknown, of another shape or dtype, not finite, or without its like.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    places = {str(index): weight for index, weight in enumerate(weights)}
    whole = {
        f"{index}.{name}" for index in {key.partition(".")[0] for key in stored} for name in ADAM
    }
    if wrong := whole ^ stored.keys():
        raise InputError(f"moments: {min(wrong)!r} is missing or unknown.")
    for key, tensor in stored.items():
        index, _, name = key.partition(".")
        if index not in places:
            raise InputError(f"moments: {key!r}, but there are {len(weights)} trained tensors.")
        weight = places[index]
        shape = () if name == "step" else tuple(weight.shape)
        kind = torch.float32 if name == "step" else weight.dtype
        check_tensor(f"moments: {key}", tensor, shape, str(kind).removeprefix("torch."))
        if name != "exp_avg" and (tensor < 0).any():
            raise InputError(f"moments: {key}: must be at least 0.")
        device = "cpu" if name == "step" and not optimiser.defaults["fused"] else weight.device
        optimiser.state[weight][name] = tensor.to(device, copy=True)
