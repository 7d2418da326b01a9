"""Dropout (Srivastava et al. 2014) whose mask is cheap to make on a CPU.

torch draws one random number for each entry there, one after another, which took a twelfth of a
training step. Here one draw of 64 bits serves four entries, 16 bits each.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

LEVELS = 1 << 16
"""Rates are rounded to multiples of 1 / LEVELS."""


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Set a share of x's entries to 0 and scale the rest so that the mean stays; torch's generator.

    Args:
        x: any shape.
        rate: the share, at least 0 and below 1.
        training: without it, x is returned.
    """
    dropped = round(rate * LEVELS)
    if not training or not dropped:
        return x
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    levels = draws.view(torch.int16)[: x.numel()].view(x.shape)
    kept = levels >= dropped - LEVELS // 2
    return torch.where(kept, x * (LEVELS / (LEVELS - dropped)), 0.0)
