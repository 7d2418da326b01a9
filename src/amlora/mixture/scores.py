"""Collect attention scores while a model runs, for reports: means and how concentrated they are."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from amlora.mixture.arrow import Way

TOP = 0.9
"""A token counts as decided when one LoRA, or none of them, takes more than this share."""

MaskOf = Callable[[str, Tensor], Tensor]
"""Tells from a layer's name and input which of its tokens count: (rows, tokens), 1 for those."""


class Tally:
    """Sums over tokens of one layer's scores of N LoRAs."""

    def __init__(self, loras: int) -> None:
        self.tokens = 0
        self.total = torch.zeros(1 + loras, dtype=torch.float64)
        self.decided = 0.0  # tokens whose largest score is above TOP
        self.effective = 0.0  # sum over tokens of exp(entropy): between 1 and 1 + N
        self.rows = 0
        # Rows in which a LoRA has the largest mean score, ties shared.
        self.largest = torch.zeros(loras, dtype=torch.float64)

    def mean(self) -> list[float]:
        """Return (1 + N) mean scores, the zero LoRA's first."""
        return [float(value) for value in self.total / self.tokens]


@dataclass
class Recorder:
    """Tell it which tokens count, run the model, read the tallies by layer name."""

    mask_of: MaskOf
    tallies: dict[str, Tally] = field(default_factory=dict[str, Tally])

    def add(self, name: str, scores: Tensor, given: Tensor, loras: int, combine: Way) -> None:
        """Add one forward pass of one layer of N LoRAs.

        Scores (T, 1 + N) are empty for "sum" and "mean" of all; the layer was given (rows, tokens,
        D_in), T = rows * tokens.
        """
        mask, shape = self.mask_of(name, given).to(torch.bool), given.shape[:-1]
        # Some models flatten rows and tokens before a layer.
        if mask.numel() != shape.numel():
            raise ValueError(f"{name}: input is {tuple(shape)}, the mask {tuple(mask.shape)}.")
        tokens = int(mask.sum())
        if len(scores):
            kept = scores.detach()[mask.reshape(-1)].double()
        else:
            value = 1.0 if combine == "sum" else 1 / (1 + loras)
            kept = torch.full((tokens, 1 + loras), value, dtype=torch.float64)
            kept[:, 0] = 0.0 if combine == "sum" else value
        # Rows follow one another in `kept`, each with as many tokens as its mask has.
        lengths = mask.sum(-1)
        lengths = lengths[lengths > 0].cpu()
        of_rows = torch.segment_reduce(kept.cpu(), "mean", lengths=lengths, axis=0)[:, 1:]
        largest = (of_rows == of_rows.amax(-1, keepdim=True)).double()
        largest = (largest / largest.sum(-1, keepdim=True)).sum(0)
        shares = kept / kept.sum(-1, keepdim=True)
        effective = (-torch.xlogy(shares, shares)).sum(-1).exp().sum()
        decided = (shares.amax(-1) > TOP).sum()
        tally = self.tallies.setdefault(name, Tally(loras))
        tally.tokens += tokens
        tally.total += kept.sum(0).cpu()
        tally.decided += float(decided)
        tally.effective += float(effective)
        tally.rows += len(lengths)
        tally.largest += largest
