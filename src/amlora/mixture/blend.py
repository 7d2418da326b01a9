"""The mixture where each row of a forward pass has a route of its own: stages, or open gates.

Stages: what `reference.blend` says row by row, for all rows together. With the plain sum each row
has one gate per LoRA; with attention all rows' heaviest stages are scored at once, then their
second ones, and so on. Where all rows have one and the same stage, `fused.add` with that stage's
LoRAs is used instead, whose answers are those of the stage bit for bit.

Gates: h = W0 x + sum_i a_i f_i with a row's gates a_i given from outside; they may need gradients.
Rows of z = A x are multiplied by them, so two matrix products serve any number of LoRAs.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from amlora.mixture.bank import Teams
from amlora.mixture.fused import LoRAs, to_loras, to_rows
from amlora.mixture.reference import Combine
from amlora.mixture.route import Routes


def add(
    base: Tensor,
    x: Tensor,
    teams: Teams,
    routes: Routes,
    *,
    combine: Combine,
    gain: bool,
) -> tuple[Tensor, Tensor]:
    """Add each row's blend of stages onto a frozen layer's output.

    Args:
        base: (..., D_out) the frozen layer's output.
        x: (..., D_in) its input; rows follow one another, each with equally many tokens.
        teams: of all stages; what selectors make of b is not used by "sum".
        routes: of the rows.
        combine: "attention" or "sum".
        gain: multiply the mixture of a team of n by n + 1.

    Returns:
        (..., D_out), and the scores (tokens of all rows, 1 + N') without gain, column 0 the zero
        LoRA's and, for "sum", stage 0's weight.
    """
    assert combine != "mean", "no method keeps stages of a mean"
    loras, kind = teams.loras, x.dtype
    a, b, _ = loras.stacks
    tokens = tokens_of_a_row(x, len(routes.weights), "routes")
    wide = torch.promote_types(kind, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        z = x.reshape(-1, x.shape[-1]) @ a.to(kind).T
        if combine == "sum":
            scores = sum_scores(routes.weights, teams.members).to(wide).repeat_interleave(tokens, 0)
            gates = scores[:, 1:]
        else:
            scores, gates = attention_scores(z, teams, routes, gain=gain)
        gated = to_rows(gates, loras.spread, loras.rank, kind).mul_(z)
        out = torch.addmm(base.reshape(-1, base.shape[-1]).to(kind), gated, b.to(kind))
    return out.view(*x.shape[:-1], out.shape[-1]), scores


def add_gated(base: Tensor, x: Tensor, loras: LoRAs, gates: Tensor) -> tuple[Tensor, Tensor]:
    """Add all LoRAs at each row's gates (rows, N) onto a frozen layer's output.

    Args:
        base: (..., D_out) the frozen layer's output.
        x: (..., D_in) its input; rows follow one another, each with equally many tokens.
        loras: all of the layer's; their selectors are not used.

    Returns:
        (..., D_out), and the scores (tokens of all rows, 1 + N); column 0 is what the widest gate
        leaves to the base model.
    """
    (a, b, _), (a_tail, b_tail, _) = loras.stacks, loras.tails
    flat, kind, frozen = x.reshape(-1, x.shape[-1]), x.dtype, len(a) - len(a_tail)
    tokens = tokens_of_a_row(x, len(gates), "gates")
    with torch.autocast(x.device.type, enabled=False):
        rows = (gates @ loras.spread.to(gates)).to(kind).repeat_interleave(tokens, 0)
        out = base.reshape(-1, base.shape[-1]).to(kind)
        for part, down, up in (
            (slice(frozen), a[:frozen], b[:frozen]),
            (slice(frozen, None), a_tail, b_tail),
        ):
            if len(down):
                z = flat @ down.to(kind).T
                out = torch.addmm(out, rows[:, part] * z, up.to(kind))
    scores = gates.detach().repeat_interleave(tokens, 0)
    rest = 1 - scores.amax(1, keepdim=True)
    return out.view(*x.shape[:-1], out.shape[-1]), torch.cat([rest, scores], 1)


def tokens_of_a_row(x: Tensor, rows: int, what: str) -> int:
    """Return how many of the input's tokens (..., D_in) each row has; a ValueError if unequal."""
    tokens, left = divmod(x.shape[:-1].numel(), rows)
    if left:
        raise ValueError(f"a layer's input is {tuple(x.shape)}, but {rows} rows have {what}.")
    return tokens


def sum_scores(weights: Tensor, members: Tensor) -> Tensor:
    """Return (rows, 1 + N') scores: a LoRA works in all stages whose team it is in.

    `weights` (rows, 1 + S) are the stages', and `members` (1 + S, N') says who is in which team.
    """
    return torch.cat([weights[:, :1], weights @ members.to(weights)], 1)


def attention_scores(
    z: Tensor, teams: Teams, routes: Routes, *, gain: bool
) -> tuple[Tensor, Tensor]:
    """Return the blended scores (T, 1 + N'), and what each LoRA is multiplied by (T, N').

    Args:
        z: (T, K') the LoRAs' inner values, rows of tokens one after another.
        teams, routes, gain: as in `add`.
    """
    (loras, members, pulls), rows = teams, len(routes.weights)
    wide, count = torch.promote_types(z.dtype, torch.float32), members.shape[1]
    absent, sizes = members == 0, members.sum(1)
    by_row = z.view(rows, -1, z.shape[-1])
    scores = z.new_zeros(len(z), 1 + count, dtype=wide)
    gates = scores[:, 1:].clone()
    heaviest = routes.places.unbind(1), routes.shares.to(wide).unbind(1)
    for places, shares in zip(*heaviest, strict=True):
        pulled = (by_row * pulls[places].to(z.dtype).unsqueeze(1)).flatten(0, 1)
        logits = to_loras(pulled, loras.spread, loras.rank, wide).view(rows, -1, count)
        logits = logits.masked_fill(absent[places].unsqueeze(1), -torch.inf)
        found = F.pad(logits, (1, 0)).softmax(-1, wide)
        scores += (shares.view(-1, 1, 1) * found).flatten(0, 1)
        times = shares * (1 + sizes[places]) if gain else shares
        gates += (times.to(wide).view(-1, 1, 1) * found[..., 1:]).flatten(0, 1)
    return scores, gates
