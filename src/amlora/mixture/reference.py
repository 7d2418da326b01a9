"""The attentional mixture of LoRAs: equations 4 to 6 of the paper and nothing else.

Letters used across the package: T tokens, D width, N LoRAs, K rows (the ranks of all LoRAs added
up), R the rank of one LoRA. A LoRA is a block of rows: row k adds scale * (a_k . x) * b_k.
This file is the specification; `fused.py` must agree with it up to rounding.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Combine = Literal["attention", "sum", "mean"]
"""attention: AM-LoRA (eq. 5). sum: IncLoRA (eq. 2, 3). mean: a control, all scores 1 / (N + 1)."""


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
) -> tuple[Tensor, Tensor]:
    """Weigh each LoRA's output by its score and add them up.

    Args:
        x: (..., D_in) input of the adapted layer.
        a: (K, D_in) down-projections of all LoRAs, row by row.
        b: (K, D_out) up-projections, row by row.
        w: (N, D_out) selector, one vector per LoRA; W_r in the paper.
        spread: (N, K) scale_i where row k belongs to LoRA i, else 0; scale_i is alpha_i / rank_i.
        combine: how scores arise; see `Combine`.
        gain: multiplies the sum; 1 in the paper.
        newcomer: added to the last LoRA's logit; minus infinity shuts it out.

    Returns:
        (..., D_out) to add to the frozen layer's output, and the (..., 1 + N) scores, at least
        float32, column 0 the paper's zero LoRA. Rows sum to 1, except for "sum", where every
        LoRA's score is 1.
    """
    features = torch.einsum("...k,nk,ko->...no", x @ a.T, spread, b)
    if combine == "attention":
        logits = torch.einsum("...no,no->...n", features, w)
        logits = torch.cat([logits[..., :-1], logits[..., -1:] + newcomer], -1)
    else:
        logits = features.new_zeros(features.shape[:-1])
    # The zero LoRA's feature is 0, so its logit is 0 whatever its selector: it has no parameters.
    scores = F.pad(logits, (1, 0)).softmax(-1, torch.promote_types(x.dtype, torch.float32))
    if combine == "sum":
        scores = F.pad(torch.ones_like(scores[..., 1:]), (1, 0))
    weights = gain * scores[..., 1:].to(x.dtype)
    return torch.einsum("...n,...no->...o", weights, features), scores


def blend(
    x: Tensor,
    a: Tensor,
    b: Tensor,
    kept: Sequence[Tensor],
    spread: Tensor,
    weights: Tensor,
    *,
    teams: Sequence[Sequence[int]],
    combine: Combine,
    gain: bool = False,
) -> Tensor:
    """Answer each row with its own stages: their teams of LoRAs, with the selectors kept then.

    Args:
        x: (rows, tokens, D_in) input of the adapted layer.
        a, b, spread: of all N LoRAs, see `mix`.
        kept: for each stage its team's (n, D_out) selectors.
        weights: (rows, 1 + S) of the stages; stage 0 adds nothing.
        teams: for each stage the places of its LoRAs.
        combine: see `Combine`.
        gain: multiply the mixture of a team of n by n + 1.

    Returns:
        (rows, tokens, D_out) to add to the frozen layer's output.
    """
    out = x.new_zeros(*x.shape[:-1], b.shape[1])
    for row in range(len(weights)):
        for stage, (team, w) in enumerate(zip(teams, kept, strict=True), 1):
            own = torch.cat([spread[place].nonzero()[:, 0] for place in team])
            mixed, _ = mix(
                x[row],
                a[own],
                b[own],
                w,
                spread[list(team)][:, own],
                combine=combine,
                gain=len(team) + 1.0 if gain else 1.0,
            )
            out[row] += weights[row, stage].to(x.dtype) * mixed
    return out


def sparsity(w: Tensor) -> Tensor:
    """Return the L1 norm of a layer's selectors: the sum of equation 6 without its lambda."""
    return w.abs().sum()
