"""The adapted layer: a frozen linear-like module plus the mixture of its LoRAs."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amlora.mixture import arrow, blend, fused
from amlora.mixture.arrow import Arrow, Way
from amlora.mixture.bank import Bank
from amlora.mixture.reference import Combine
from amlora.mixture.route import Routes, Routing
from amlora.mixture.scores import Recorder

LEVELS = 1 << 16
"""Rates of dropout are rounded to multiples of 1 / LEVELS."""


@dataclass
class Control:
    """What all adapted layers of one model share and may change between two forward passes."""

    combine: Combine = "attention"
    gain: bool = False
    """Multiply the mixture by N + 1, so that uniform scores equal the plain sum; while a newcomer
    is let in by N + exp(newcomer), which keeps an old LoRA's weight at 1 where all logits are 0."""
    newcomer: float = 0.0
    """Added to the newest LoRA's logit; minus infinity shuts it out as if it did not exist."""
    dropout: float = 0.0
    """Share of x's entries set to 0 before the LoRAs while training, one mask for all of them."""
    recorder: Recorder | None = None
    """Collects scores when set."""
    arrow: Arrow | None = None
    """Where set, LoRAs are chosen by their prototypes, and `combine` does not count."""
    alone: bool = False
    """Whether only the newest LoRA acts, as if there were no other, so that it learns by itself."""
    routing: Routing = field(default_factory=Routing)
    """Which stages' models answer the rows of a forward pass; none for all LoRAs as they are."""

    @property
    def way(self) -> Way:
        """How the LoRAs are combined."""
        return self.combine if self.arrow is None else "arrow"


class MixtureLinear(nn.Module):
    """h = base(x) + mixture(x); equation 5 of the paper.

    The base may be `nn.Linear`, `Conv1D` or any quantised linear: it is called, never read.
    """

    def __init__(self, name: str, base: nn.Module, d_in: int, d_out: int, control: Control) -> None:
        super().__init__()
        self.name = name
        self.base = base
        self.control = control
        # Some quantised linears keep their weights in buffers.
        tensors = itertools.chain(base.parameters(), base.buffers())
        device = next((tensor.device for tensor in tensors), torch.device("cpu"))
        self.bank = Bank(d_in, d_out, device)

    @property
    def weight(self) -> Tensor:
        """The frozen weight: some models read a projection's dtype through it."""
        return self.base.weight  # type: ignore[return-value]

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        return self.base.bias  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., D_in) to (..., D_out) in the base's dtype."""
        base, bank, control = self.base(x), self.bank, self.control
        if not len(bank):
            return base
        # Under autocast x may be float32 while the frozen layer answered in bfloat16.
        given, x = x, dropout(x.to(base.dtype), control.dropout, self.training)
        if control.alone:
            return fused.add(base, x, bank.part(len(bank) - 1, len(bank)), combine="sum")[0]
        routes = control.routing.now
        if control.arrow is not None:
            loras, wanted = bank.part(0, len(bank)), bank.prototypes()
            out, scores = arrow.add(base, x, loras, wanted, control.arrow)
        elif isinstance(routes, Tensor):
            out, scores = blend.add_gated(base, x, bank.part(0, len(bank)), routes)
        else:
            out, scores = self.plain(base, x) if routes is None else self.routed(base, x, routes)
        if control.recorder is not None:
            if len(scores):
                scores = F.pad(scores, (0, 1 + len(bank) - scores.shape[1]))
            control.recorder.add(self.name, scores, given, len(bank), control.way)
        return out

    def plain(self, base: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Add all LoRAs onto base (..., D_out); return the sum, and scores as `fused.add` does."""
        bank, control = self.bank, self.control
        newcomer = control.newcomer if control.combine == "attention" else 0.0
        # A newcomer that is shut out is left out, so that not one bit of the answers changes.
        open_loras = len(bank) - (newcomer == -math.inf)
        if not open_loras:
            return base, nobody(x)
        return fused.add(
            base,
            x,
            bank.part(0, open_loras),
            combine=control.combine,
            gain=len(bank) + math.exp(newcomer) if control.gain else 1.0,
            newcomer=newcomer if open_loras == len(bank) else 0.0,
        )

    def routed(self, base: Tensor, x: Tensor, routes: Routes) -> tuple[Tensor, Tensor]:
        """Add each row's stages onto base (..., D_out); return the sum and scores, not empty."""
        bank, stage, recorded = self.bank, routes.stage, self.control.recorder is not None
        combine, gain = self.control.combine, self.control.gain
        if stage == 0:
            return base, nobody(x)
        if stage is None:
            teams = bank.of_all(routes.weights.shape[1] - 1)
            return blend.add(base, x, teams, routes, combine=combine, gain=gain)
        loras, team = bank.of_stage(stage), bank.team(stage)
        times = len(team) + 1.0 if gain else 1.0
        out, scores = fused.add(base, x, loras, combine=combine, gain=times)
        if recorded and combine == "sum":
            scores = out.new_ones(x.shape[:-1].numel(), 1 + len(team))
            scores[:, 0] = 0
        if recorded:
            scores = placed(scores, team, len(bank))
        return out, scores


def placed(scores: Tensor, team: Sequence[int], loras: int) -> Tensor:
    """Return a team's scores (T, 1 + n) at its places among all LoRAs, (T, 1 + N), 0 elsewhere."""
    among = scores.new_zeros(len(scores), 1 + loras)
    among[:, [0, *(1 + place for place in team)]] = scores
    return among


def nobody(x: Tensor) -> Tensor:
    """Return the scores (tokens of x, 1) where the zero LoRA alone is left."""
    return torch.ones(x.shape[:-1].numel(), 1, device=x.device)


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Set a share of x's entries to 0 and scale the rest so that the mean stays; torch's generator.

    The rate is at least 0 and below 1. On a CPU torch draws one random number for each entry, one
    after another, which took a twelfth of a training step. Here one draw of 64 bits serves four
    entries, 16 bits each.
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
