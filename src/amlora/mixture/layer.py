"""The adapted layer: a frozen linear-like module plus the mixture of its LoRAs."""

import itertools
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amlora.mixture import arrow, blend, fused, gated
from amlora.mixture.arrow import Arrow, Way
from amlora.mixture.bank import Bank
from amlora.mixture.dropout import dropout
from amlora.mixture.reference import Combine
from amlora.mixture.route import Routes, Routing
from amlora.mixture.scores import Recorder


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
        if control.alone:
            return self.alone(x, base)
        if control.arrow is not None:
            return self.chosen(x, base, control.arrow)
        # Under autocast x may be float32 while the frozen layer answered in bfloat16.
        given, x = x, dropout(x.to(base.dtype), control.dropout, self.training)
        routes = control.routing.now
        if isinstance(routes, Tensor):
            tails, stacks, spread, _ = bank.parts(len(bank))
            out, scores = gated.add(base, x, tails, stacks, spread, routes)
        else:
            out, scores = self.plain(base, x) if routes is None else self.routed(base, x, routes)
        if control.recorder is not None:
            if len(scores):
                scores = F.pad(scores, (0, 1 + len(bank) - scores.shape[1]))
            control.recorder.add(self.name, scores, given, len(bank), control.combine)
        return out

    def plain(self, base: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Add all LoRAs onto base (..., D_out); return the sum, and scores as `fused.add` does."""
        bank, control = self.bank, self.control
        newcomer = control.newcomer if control.combine == "attention" else 0.0
        # A newcomer that is shut out is left out, so that not one bit of the answers changes.
        open_loras = len(bank) - (newcomer == -math.inf)
        if not open_loras:
            return base, nobody(x)
        tails, stacks, spread, rank = bank.parts(open_loras)
        return fused.add(
            base,
            x,
            tails,
            stacks,
            spread,
            combine=control.combine,
            gain=len(bank) + math.exp(newcomer) if control.gain else 1.0,
            newcomer=newcomer if open_loras == len(bank) else 0.0,
            rank=rank,
        )

    def routed(self, base: Tensor, x: Tensor, routes: Routes) -> tuple[Tensor, Tensor]:
        """Add each row's stages onto base (..., D_out); return the sum and scores, not empty."""
        bank, control = self.bank, self.control
        stage = routes.stage
        if stage == 0:
            return base, nobody(x)
        if stage is None:
            stacks, spread, rank = bank.of_stage(routes.weights.shape[1] - 1)
            return blend.add(
                base,
                x,
                stacks,
                bank.pulls,
                spread,
                routes,
                combine=control.combine,
                gain=control.gain,
                rank=rank,
            )
        stacks, spread, rank = bank.of_stage(stage)
        a, b, w = stacks
        out, scores = fused.add(
            base,
            x,
            (a[:0], b[:0], w[:0]),
            stacks,
            spread,
            combine=control.combine,
            gain=stage + 1.0 if control.gain else 1.0,
            newcomer=0.0,
            rank=rank,
        )
        if control.combine == "sum" and control.recorder is not None:
            scores = blend.sum_scores(routes.weights[:1, : 1 + stage])
            scores = scores.expand(x.shape[:-1].numel(), -1)
        return out, scores

    def alone(self, x: Tensor, base: Tensor) -> Tensor:
        """Add the newest LoRA's output (..., D_out) and no other's."""
        tails, stacks, spread, rank = self.bank.newest()
        dropped = dropout(x.to(base.dtype), self.control.dropout, self.training)
        out, _ = fused.add(
            base, dropped, tails, stacks, spread, combine="sum", gain=1.0, newcomer=0.0, rank=rank
        )
        return out

    def chosen(self, x: Tensor, base: Tensor, how: Arrow) -> Tensor:
        """Add the outputs (..., D_out) of the LoRAs that Arrow chooses."""
        bank, recorder = self.bank, self.control.recorder
        a, b, _ = bank.stacks()
        dropped = dropout(x.to(base.dtype), self.control.dropout, self.training)
        out, scores = arrow.add(base, dropped, a, b, bank.spread, bank.prototypes(), how)
        if recorder is not None:
            recorder.add(self.name, scores, x, len(bank), "arrow")
        return out


def nobody(x: Tensor) -> Tensor:
    """Return the scores (tokens of x, 1) where the zero LoRA alone is left."""
    return torch.ones(x.shape[:-1].numel(), 1, device=x.device)
