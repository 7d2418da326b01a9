"""The mixture where each row has a gate per LoRA, given from outside: h = W0 x + sum_i a_i f_i.

The gates may need gradients. Rows of z = A x are multiplied by them, so two matrix products serve
any number of LoRAs, as in `fused.py`.
"""

import torch
from torch import Tensor

from amlora.mixture.bank import Stacks


def add(
    base: Tensor, x: Tensor, tails: Stacks, stacks: Stacks, spread: Tensor, gates: Tensor
) -> tuple[Tensor, Tensor]:
    """Add all LoRAs at each row's gates onto a frozen layer's output.

    Args:
        base: (..., D_out) the frozen layer's output.
        x: (..., D_in) its input; rows follow one another, each with equally many tokens.
        tails: the trained rows of a and b, empty where nothing is trained; w is not used.
        stacks: a (K, D_in) and b (K, D_out) of all LoRAs, the trained ones last.
        spread: (N, K), see `reference.mix`.
        gates: (rows, N).

    Returns:
        (..., D_out), and the scores (tokens of all rows, 1 + N); column 0 is what the widest gate
        leaves to the base model.

    Raises:
        ValueError: the tokens cannot be shared out among the rows.
    """
    (a, b, _), (a_tail, b_tail, _) = stacks, tails
    flat, kind, frozen = x.reshape(-1, x.shape[-1]), x.dtype, len(a) - len(a_tail)
    tokens, left = divmod(len(flat), len(gates))
    if left:
        raise ValueError(f"a layer's input is {tuple(x.shape)}, but {len(gates)} rows have gates.")
    with torch.autocast(x.device.type, enabled=False):
        rows = (gates @ spread.to(gates)).to(kind).repeat_interleave(tokens, 0)
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
