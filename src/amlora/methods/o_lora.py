"""O-LoRA: a new LoRA per task, kept orthogonal to the earlier ones (Wang et al. 2023).

All LoRAs are summed as in IncLoRA. While one is learned, |A_old A_new^T|_1 is added to the loss, so
that it reads other directions of the input than the frozen ones do (arXiv 2310.14152; absolute
values, not squares, as in the authors' code). The frozen LoRAs act as one LoRA of rank N * R, in
the layer and in this term.

    loss = task + strength * sum over layers of |A_old A_new^T|_1
                + l2 * sum over layers of (|A_new|_2 + |B_new|_2)
"""

import torch
from torch import Tensor

from amlora.methods.base import Terms
from amlora.methods.lora import LoRAMethod, OneLoRASettings, PerTask, number_of
from amlora.mixture.bank import Bank


class OLoRASettings(OneLoRASettings):
    """The LoRAs and the weights of the two terms, lambda 1 and 2 of the authors' scripts."""

    strength: PerTask = 0.5
    """Times the orthogonality term, one number or one per task (0.5 in the scripts of orders 1 to
    3); the first task has no such term."""
    l2: PerTask = 0.0
    """Times the L2 norms of the new A and B, one number or one per task (0 in those scripts)."""


class OLoRA(LoRAMethod):
    """Learn each task in directions that earlier tasks do not use."""

    Settings = OLoRASettings
    settings: OLoRASettings
    per_task = ("strength", "l2")

    def penalty(self) -> Terms:
        """Return both terms over all adapted layers, those of weight 0 left out."""
        strength = number_of(self.settings.strength, self.index)
        l2 = number_of(self.settings.l2, self.index)
        terms: Terms = {}
        if strength and len(self.mixture) > 1:
            overlaps = torch.stack([overlap(layer.bank) for layer in self.mixture.layers.values()])
            terms["orthogonality"] = strength * overlaps.sum()
        if l2:
            tails = self.mixture.lora_parameters()
            norms = torch.stack([torch.linalg.vector_norm(tail) for tail in tails])
            terms["l2"] = l2 * norms.sum()
        return terms


def overlap(bank: Bank) -> Tensor:
    """Return the sum of |a . a'| over all rows a of the frozen A's and a' of the trained one."""
    new = bank.tails()[0]
    old = bank.a[: len(bank.a) - len(new)]  # (K - R, D_in), all earlier LoRAs
    return (old @ new.T).abs().sum()
