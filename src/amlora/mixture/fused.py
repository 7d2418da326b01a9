"""The mixture in rank space: the values and gradients of `reference.py` at a fraction of the cost.

With z = A x, LoRA i's logit w_i . (scale B_i z_i) equals (scale B_i^T w_i) . z_i, and the weighted
sum equals B (gates * z) with all LoRAs' rows stacked. Two matrix products serve any number of
LoRAs, and the (T, N, D_out) features never exist. For the backward pass only x, z and the scores
are kept, which is what one LoRA with the same number of rows keeps, plus N + 1 numbers a token.

Only a tail of the rows is trained (the newest LoRA's): gradients are computed for it alone, while
the whole stack serves the forward pass, so nothing frozen is copied or concatenated.

`spread` has one block per LoRA and is 0 elsewhere. Where all blocks have the same number of rows,
`rank`, a reshape does what a product with `spread` would do, at 1 / N of the work.
"""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from amlora.mixture.reference import Combine

Stacks = tuple[Tensor, Tensor, Tensor]
"""a (K, D_in), b (K, D_out) and w (N, D_out), all of one dtype, or their trained tails."""


class LoRAs(NamedTuple):
    """LoRAs of one layer, as the kernels take them."""

    stacks: Stacks
    spread: Tensor
    """(N, K), see `reference.mix`."""
    tails: Stacks
    """The last rows of each stack, which receive gradients and share its memory; may be empty."""
    rank: int = 0
    """The rank of every LoRA; 0 where ranks differ, which is slower."""


class Mix(torch.autograd.Function):
    """base + gain * B (gates * A x), with gradients for base, x and the tails of a, b and w."""

    @staticmethod
    def forward(
        ctx: Any,
        base: Tensor,
        x: Tensor,
        a_tail: Tensor,
        b_tail: Tensor,
        w_tail: Tensor,
        a: Tensor,
        b: Tensor,
        w: Tensor,
        spread: Tensor,
        combine: Combine,
        gain: float,
        newcomer: float,
        rank: int,
    ) -> tuple[Tensor, Tensor]:
        """Shapes: base (T, D_out), x (T, D_in); the rest as in `reference.mix`."""
        kind = x.dtype
        with torch.autocast(x.device.type, enabled=False):
            z = x @ a.to(kind).T
            if combine == "attention":
                wide = torch.promote_types(kind, torch.float32)
                pull = own_products(w, b, spread, rank).to(kind)
                logits = to_loras(z * pull, spread, rank, wide)
                if newcomer:
                    logits[:, -1] += newcomer
                scores = F.pad(logits, (1, 0)).softmax(-1, wide)
                gated = to_rows(gain * scores[:, 1:], spread, rank, kind).mul_(z)
            else:
                pull = scores = x.new_zeros(0)
                gated = fixed_gates(spread, combine, gain).to(kind) * z
            out = torch.addmm(base.to(kind), gated, b.to(kind))
        ctx.mark_non_differentiable(scores)
        ctx.save_for_backward(x, z, pull, scores, a, b, w, spread)
        ctx.settings = combine, gain, rank, len(a_tail), len(w_tail), base.dtype
        ctx.kinds = a_tail.dtype, b_tail.dtype, w_tail.dtype
        return out, scores

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Return gradients in the order of `forward`'s arguments."""
        x, z, pull, scores, a, b, w, spread = ctx.saved_tensors
        combine, gain, rank, a_rows, w_rows, base_kind = ctx.settings
        wants, kind, first = ctx.needs_input_grad, x.dtype, len(a) - a_rows
        d_out = grads[0].to(kind)
        d_x = d_a = d_b = d_w = d_pull = None
        with torch.autocast(x.device.type, enabled=False):
            d_gated = d_out @ b.to(kind).T
            if combine == "attention":
                gates = to_rows(gain * scores[:, 1:], spread, rank, kind)
                d_scores = gain * to_loras(d_gated * z, spread, rank, scores.dtype)
                d_logits = softmax_gradient(scores[:, 1:], d_scores)
                d_logit_rows = to_rows(d_logits, spread, rank, kind)
                # Gradient of `pull`, one number a row, summed over tokens.
                d_pull = (z * d_logit_rows).sum(0, dtype=scores.dtype).to(b.dtype)
                d_z = d_gated.mul_(gates).addcmul_(d_logit_rows, pull)
                if wants[4]:
                    d_w = own_sums(d_pull, b, spread, rank)[len(w) - w_rows :].to(ctx.kinds[2])
            else:
                gates = fixed_gates(spread, combine, gain).to(kind)
                d_z = d_gated.mul_(gates)
            if wants[3]:
                d_b = ((gates[..., first:] * z[:, first:]).T @ d_out).to(ctx.kinds[1])
                if d_pull is not None:
                    d_b += (members(spread[:, first:]) * d_pull[first:]).T @ w
            if wants[2]:
                d_a = (d_z[:, first:].T @ x).to(ctx.kinds[0])
            if wants[1]:
                d_x = d_z @ a.to(kind)
        d_base = d_out.to(base_kind) if wants[0] else None
        return d_base, d_x, d_a, d_b, d_w, *(None,) * 8


def softmax_gradient(scores: Tensor, d_scores: Tensor) -> Tensor:
    """Return the logits' gradient (T, N); the zero LoRA's is left out, of the scores too."""
    weighed = scores * d_scores
    return weighed - scores * weighed.sum(-1, keepdim=True)


def fixed_gates(spread: Tensor, combine: Combine, gain: float) -> Tensor:
    """Return (K,) what each row is multiplied by where no attention decides."""
    return spread.sum(0) * (gain / (1 + len(spread)) if combine == "mean" else gain)


def to_rows(values: Tensor, spread: Tensor, rank: int, kind: torch.dtype) -> Tensor:
    """Return `values @ spread` in a new tensor: (T, N) to (T, K), each LoRA's to all its rows."""
    if not rank:
        return values.to(kind) @ spread.to(kind)
    # spread[:, ::rank] is diagonal: each LoRA's first row, and so its scale.
    scaled = (values * spread[:, ::rank].diagonal()).to(kind)
    return scaled.unsqueeze(-1).expand(-1, -1, rank).contiguous().flatten(1)


def to_loras(rows: Tensor, spread: Tensor, rank: int, kind: torch.dtype) -> Tensor:
    """Return `rows @ spread.T`: (T, K) to (T, N), each LoRA's rows added up."""
    if not rank:
        return (rows @ spread.to(rows.dtype).T).to(kind)
    blocks = rows.view(len(rows), len(spread), rank)
    return blocks.sum(-1, dtype=kind).mul_(spread[:, ::rank].diagonal())


def own_products(w: Tensor, b: Tensor, spread: Tensor, rank: int) -> Tensor:
    """Return (K,) each row of b times the selector of the LoRA that it belongs to."""
    if not rank:
        return (members(spread) * (w @ b.T)).sum(0)
    blocks = b.view(len(w), rank, b.shape[1])
    # This way round the CPU's kernel is ten times as fast as with the selector on the right.
    return torch.bmm(w.unsqueeze(1), blocks.transpose(1, 2)).flatten()


def own_sums(values: Tensor, b: Tensor, spread: Tensor, rank: int) -> Tensor:
    """Return (N, D_out) each LoRA's rows of b, weighed by values (K,) and added up."""
    if not rank:
        return (members(spread) * values) @ b
    return torch.bmm(
        values.view(len(spread), 1, rank), b.view(len(spread), rank, b.shape[1])
    ).squeeze(1)


def members(spread: Tensor) -> Tensor:
    """Return (N, K) 1 where a row belongs to a LoRA, else 0."""
    return (spread != 0).to(spread.dtype)


def mix(
    x: Tensor,
    a: Tensor,
    b: Tensor,
    w: Tensor,
    spread: Tensor,
    *,
    combine: Combine = "attention",
    gain: float = 1.0,
    newcomer: float = 0.0,
    rank: int = 0,
) -> tuple[Tensor, Tensor]:
    """Do what `reference.mix` does; `rank` as in `LoRAs`, scores empty unless "attention"."""
    base = x.new_zeros(*x.shape[:-1], b.shape[-1])
    loras = LoRAs((a, b, w), spread, (a, b, w), rank)
    return add(base, x, loras, combine=combine, gain=gain, newcomer=newcomer)


def add(
    base: Tensor,
    x: Tensor,
    loras: LoRAs,
    *,
    combine: Combine,
    gain: float = 1.0,
    newcomer: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Add the mixture onto a frozen layer's output.

    Args:
        base: (..., D_out) the frozen layer's output.
        x: (..., D_in) its input, after dropout.
        loras: all that take part.
        combine, gain, newcomer: as in `reference.mix`.

    Returns:
        (..., D_out), and the scores (T, 1 + N) with T the tokens of x in order; empty for "sum"
        and "mean", where they are known beforehand.
    """
    flat, flat_base = x.reshape(-1, x.shape[-1]), base.reshape(-1, base.shape[-1])
    settings = loras.spread, combine, gain, newcomer, loras.rank
    applied = Mix.apply(  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        flat_base, flat, *loras.tails, *loras.stacks, *settings
    )
    out, scores = cast(tuple[Tensor, Tensor], applied)
    return out.view(*x.shape[:-1], out.shape[-1]), scores
