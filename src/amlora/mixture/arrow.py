"""Arrow: choose LoRAs per token and layer by what each of them reads most (Ostapenko et al. 2024).

A LoRA's prototype is the unit input that its update B A makes the longest output of, the first
right singular vector. A token's logit for a LoRA is |prototype . x|: absolute, since a singular
vector's sign means nothing. The largest few share the token by a softmax (arXiv 2405.11157).
"""

import itertools
import math
from collections.abc import Sequence
from typing import Literal, cast

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from amlora.mixture.fused import LoRAs
from amlora.mixture.reference import Combine
from amlora.settings import Settings

Way = Combine | Literal["arrow"]
"""How the LoRAs of a layer are combined."""


class Arrow(Settings):
    """How many LoRAs a token may use, and how evenly."""

    top_k: PositiveInt = 3
    """LoRAs per token, all where there are fewer; the default of the `peft` library."""
    temperature: PositiveFloat = 1.0
    """Logits are divided by it; the default of the `peft` library."""


def prototypes(a: Tensor, b: Tensor, ranks: Sequence[int]) -> Tensor:
    """Return (N, D_in) the first right singular vector of every LoRA's update B A.

    All LoRAs' projections a (K, D_in) and b (K, D_out) stand row by row, by `ranks` of K in all.
    """
    found: list[Tensor] = []
    for end, rank in zip(itertools.accumulate(ranks), ranks, strict=True):
        down, up = a[end - rank : end].double(), b[end - rank : end].double()
        # B A = (B T^T) Q^T with Q's columns orthonormal, so a small matrix is decomposed.
        q, t = cast(tuple[Tensor, Tensor], torch.linalg.qr(down.T))  # pyright: ignore[reportUnknownMemberType]
        small = torch.linalg.svd(up.T @ t.T, full_matrices=False)  # pyright: ignore
        found.append(q @ cast(tuple[Tensor, Tensor, Tensor], small)[2][0])
    return torch.stack(found).to(a.dtype)


def scores(x: Tensor, wanted: Tensor, arrow: Arrow) -> Tensor:
    """Return (T, N) how much of each LoRA a token of x (T, D_in) uses, by prototypes (N, D_in).

    The scores are at least float32, and rows sum to 1.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    logits = (x.to(wide) @ wanted.to(wide).T).abs() / arrow.temperature
    best = logits.topk(min(arrow.top_k, len(wanted)), -1)
    return torch.full_like(logits, -math.inf).scatter(-1, best.indices, best.values).softmax(-1)


def add(
    base: Tensor, x: Tensor, loras: LoRAs, wanted: Tensor, arrow: Arrow
) -> tuple[Tensor, Tensor]:
    """Add the LoRAs chosen by prototypes (N, D_in) onto a frozen layer's output.

    Args:
        base: (..., D_out) the frozen layer's output.
        x: (..., D_in) its input.
        loras: all of the layer's; their selectors are not used.

    Returns:
        (..., D_out), and the scores (T, 1 + N) with T the tokens of x in order; column 0, for no
        LoRA, is 0.
    """
    (a, b, _), flat = loras.stacks, x.reshape(-1, x.shape[-1])
    shares = scores(flat, wanted, arrow)
    gates = (shares @ loras.spread.to(shares.dtype)).to(x.dtype)
    out = (gates * (flat @ a.to(x.dtype).T)) @ b.to(x.dtype)
    return base + out.view(base.shape), torch.cat([shares.new_zeros(len(flat), 1), shares], 1)
