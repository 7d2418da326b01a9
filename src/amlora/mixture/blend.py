"""The mixture where rows of one forward pass belong to different stages, or to several at once.

What `reference.blend` says row by row, for all rows together: with the plain sum each row has one
gate per LoRA; with attention all rows' heaviest stages are scored at once, then their second ones,
and so on. Where all rows have one and the same stage, `fused.add` with that stage's LoRAs is used
instead, whose answers are those of the stage bit for bit.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from amlora.mixture.bank import Stacks
from amlora.mixture.fused import to_loras, to_rows
from amlora.mixture.reference import Combine
from amlora.mixture.route import Routes


def add(
    base: Tensor,
    x: Tensor,
    stacks: Stacks,
    pulls: Tensor,
    spread: Tensor,
    routes: Routes,
    *,
    combine: Combine,
    gain: bool,
    rank: int,
) -> tuple[Tensor, Tensor]:
    """Add each row's blend of stages onto a frozen layer's output.

    Args:
        base: (..., D_out) the frozen layer's output.
        x: (..., D_in) its input; rows follow one another, each with equally many tokens.
        stacks: of the S LoRAs of S kept stages: a (K, D_in), b (K, D_out); w is not used.
        pulls: (1 + S, K) each stage's selectors times b, see `Bank.pulls`; not used by "sum".
        spread: (S, K) see `reference.mix`.
        routes: of the rows.
        combine: "attention" or "sum".
        gain: multiply stage k's mixture by k + 1.
        rank: the rank of every LoRA; 0 where ranks differ.

    Returns:
        (..., D_out), and the scores (tokens of all rows, 1 + S) without gain, column 0 the zero
        LoRA's and, for "sum", stage 0's weight.

    Raises:
        ValueError: the tokens cannot be shared out among the rows.
    """
    assert combine != "mean", "no method keeps stages of a mean"
    a, b, _ = stacks
    flat, kind, rows = x.reshape(-1, x.shape[-1]), x.dtype, len(routes.weights)
    tokens, left = divmod(len(flat), rows)
    if left:
        raise ValueError(f"a layer's input is {tuple(x.shape)}, but {rows} rows have routes.")
    wide = torch.promote_types(kind, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        z = flat @ a.to(kind).T
        if combine == "sum":
            scores = sum_scores(routes.weights).to(wide).repeat_interleave(tokens, 0)
            gates = scores[:, 1:]
        else:
            scores, gates = attention_scores(z, pulls, spread, routes, gain=gain, rank=rank)
        gated = to_rows(gates, spread, rank, kind).mul_(z)
        out = torch.addmm(base.reshape(-1, base.shape[-1]).to(kind), gated, b.to(kind))
    return out.view(*x.shape[:-1], out.shape[-1]), scores


def sum_scores(weights: Tensor) -> Tensor:
    """Return (rows, 1 + S) scores: LoRA i works in all stages from i on, so theirs add up."""
    return torch.cat([weights[:, :1], weights[:, 1:].flip(1).cumsum(1).flip(1)], 1)


def attention_scores(
    z: Tensor, pulls: Tensor, spread: Tensor, routes: Routes, *, gain: bool, rank: int
) -> tuple[Tensor, Tensor]:
    """Return the blended scores (T, 1 + S), and what each LoRA is multiplied by (T, S).

    Args:
        z: (T, K) the LoRAs' inner values, rows of tokens one after another.
        pulls, spread, routes, gain, rank: as in `add`.
    """
    rows, loras = len(routes.weights), len(spread)
    wide = torch.promote_types(z.dtype, torch.float32)
    lora = torch.arange(loras, device=z.device)
    by_row = z.view(rows, -1, z.shape[-1])
    scores = z.new_zeros(len(z), 1 + loras, dtype=wide)
    gates = scores[:, 1:].clone()
    for places, shares in zip(
        routes.places.unbind(1), routes.shares.to(wide).unbind(1), strict=True
    ):
        pulled = (by_row * pulls[places].to(z.dtype).unsqueeze(1)).flatten(0, 1)
        logits = to_loras(pulled, spread, rank, wide).view(rows, -1, loras)
        # LoRA number i, counted from 0, came after stage i.
        logits = logits.masked_fill((lora >= places[:, None]).unsqueeze(1), -torch.inf)
        found = F.pad(logits, (1, 0)).softmax(-1, wide)
        scores += (shares.view(-1, 1, 1) * found).flatten(0, 1)
        times = shares * (1 + places) if gain else shares
        gates += (times.to(wide).view(-1, 1, 1) * found[..., 1:]).flatten(0, 1)
    return scores, gates
