"""AdamW over a method's weights: gradients of all processes, and its state in and out."""

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from amlora.engine.settings import TrainSettings
from amlora.errors import InputError
from amlora.methods.base import ParameterGroup
from amlora.mixture.tensors import check_tensor

ADAM = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW keeps of each weight."""
BUCKET = 2**20
"""Numbers that processes add up at once: few messages for small weights, little memory for big."""


def make_optimiser(groups: list[ParameterGroup], settings: TrainSettings) -> torch.optim.AdamW:
    """Return AdamW over the groups; rates are set at every step."""
    return torch.optim.AdamW(
        [{"params": group.parameters} for group in groups],
        lr=settings.lr,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def add_up(weights: list[Tensor], totals: dict[str, float], accelerator: Accelerator) -> None:
    """Add gradients and loss terms over all processes; all of them then hold the same.

    A process without rows adds nothing. A weight that has no gradient in any process keeps none, so
    that the optimiser passes it by as it does in one process.
    """
    gathered = gather_object([(dict(totals), [weight.grad is not None for weight in weights])])
    for name in gathered[0][0]:  # the main process has rows in every step
        totals[name] = math.fsum(terms.get(name, 0.0) for terms, _ in gathered)
    reached = zip(weights, zip(*(having for _, having in gathered), strict=True), strict=True)
    for bucket in buckets([weight for weight, having in reached if any(having)]):
        grads = [torch.zeros_like(w) if w.grad is None else w.grad for w in bucket]
        summed = cast(Tensor, accelerator.reduce(torch.cat([g.flatten() for g in grads]), "sum"))
        parts = summed.split([weight.numel() for weight in bucket])
        for weight, part in zip(bucket, parts, strict=True):
            weight.grad = part.view_as(weight)


def buckets(weights: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Split weights into runs of one type and at most BUCKET numbers; a larger one is alone."""
    bucket: list[Tensor] = []
    size = 0
    for weight in weights:
        size += weight.numel()
        if bucket and (size > BUCKET or weight.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], weight.numel()
        bucket.append(weight)
    if bucket:
        yield bucket


def moments(optimiser: torch.optim.AdamW) -> dict[str, Tensor]:
    """Return the optimiser's tensors by "<parameter's index>.<name>" (no copy)."""
    return {
        f"{index}.{name}": tensor
        for index, weight in enumerate(weights_of(optimiser))
        for name, tensor in optimiser.state[weight].items()
    }


def weights_of(optimiser: torch.optim.AdamW) -> list[Tensor]:
    """Return the weights of all groups."""
    return [weight for group in optimiser.param_groups for weight in group["params"]]


def load_moments(optimiser: torch.optim.AdamW, stored: dict[str, Tensor]) -> None:
    """Put back what `moments` returned.

    Raises:
        InputError: a tensor is unknown, of another shape or dtype, not finite, or without its like.
    """
    weights = weights_of(optimiser)
    places = {str(index): weight for index, weight in enumerate(weights)}
    whole = {f"{key.partition('.')[0]}.{name}" for key in stored for name in ADAM}
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
