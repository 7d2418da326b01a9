"""How much of each LoRA a prompt's answer uses, in all layers alike: one small network per LoRA.

Liang & Li 2025, "Gated Integration of Low-Rank Adaptation for Continual Learning of Language
Models" (GainLoRA, arXiv 2505.15424), equations 3 and 8, without biases:

    p_0 = mean of the prompt's input embeddings      p_1 = silu(G_1 p_0)      p_2 = silu(G_2 p_1)
    gate = f(g_3 . p_2)      f(b) = |2 sigmoid(b) - 1|      f(0) = 0

Letters: N LoRAs, D numbers in a prompt's vector, H in between.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from amlora.mixture.route import Gating
from amlora.mixture.tensors import check_tensor, present
from amlora.settings import Settings

PARTS = ("g1", "g2", "g3")
STEEPNESS = 4.0
"""What the cosine is multiplied by; with it a gate opens to 0.96 at most."""


class GateSettings(Settings):
    """The form of the gates; see `methods/gain_lora.py` for sources."""

    width: PositiveInt = 100
    """H, the inner width."""
    score: Literal["linear", "cosine"] = "linear"
    """b is "linear": g_3 . p_2, as in the paper. "cosine": 4 times the cosine of the two, as in the
    authors' code."""


class Gate(nn.Module):
    """One LoRA's gate: g1 (H, D), g2 (D, H), g3 (D), float32; frozen when made."""

    def __init__(self, g1: Tensor, g2: Tensor, g3: Tensor, score: str) -> None:
        super().__init__()
        given = (part.detach().float().clone() for part in (g1, g2, g3))
        self.g1, self.g2, self.g3 = (nn.Parameter(part, requires_grad=False) for part in given)
        self.score = score

    def features(self, p0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the three layers read of prompts' vectors p0 (rows, D): p0, p1 and p2."""
        p1 = F.silu(p0 @ self.g1.T)
        return p0, p1, F.silu(p1 @ self.g2.T)

    def forward(self, p0: Tensor) -> Tensor:
        """Return (rows) how far the gate is open for prompts' vectors (rows, D), 0..1."""
        p2 = self.features(p0)[2]
        if self.score == "cosine":
            return opened(STEEPNESS * F.cosine_similarity(p2, self.g3, dim=-1))
        return opened(p2 @ self.g3)

    def parts(self) -> tuple[nn.Parameter, nn.Parameter, nn.Parameter]:
        """Return the three weights."""
        return self.g1, self.g2, self.g3


class Gates:
    """The gates of all LoRAs, oldest first."""

    def __init__(self, settings: GateSettings) -> None:
        self.settings = settings
        self.all: list[Gate] = []

    def __len__(self) -> int:
        """Return N."""
        return len(self.all)

    def add(self, g1: Tensor, g2: Tensor, g3: Tensor) -> Gate:
        """Append a frozen gate with given weights, and return it."""
        gate = Gate(g1, g2, g3, self.settings.score)
        self.all.append(gate)
        return gate

    def values(self, vectors: Tensor) -> Tensor:
        """Return (rows, N) how far each gate is open for prompts' vectors (rows, D)."""
        return torch.stack([gate(vectors) for gate in self.all], 1)

    def route(self, vector: Tensor) -> Gating | None:
        """Return the gates of one prompt's vector (D); None where there is no LoRA yet."""
        if not len(self):
            return None
        with torch.no_grad():
            values = self.values(vector.to(self.all[0].g3)[None])[0]
        return Gating(tuple(float(value) for value in values))

    @property
    def width(self) -> int:
        """D, once there is a gate."""
        return len(self.all[0].g3)

    def size(self, width: int) -> int:
        """Return how many numbers a gate is, D being `width`."""
        return (2 * self.settings.width + 1) * width

    def tensors(self) -> dict[str, Tensor]:
        """Return all weights by name (no copy)."""
        return {
            f"gates.{index}.{name}": part.detach()
            for index, gate in enumerate(self.all)
            for name, part in zip(PARTS, gate.parts(), strict=True)
        }

    def restore(self, tensors: Mapping[str, Tensor], count: int) -> None:
        """Take N gates back, frozen, that `tensors()` returned; others may be among its tensors.

        An InputError if one is missing, does not fit the others, or is not finite.
        """
        names = [f"gates.{index}.{name}" for index in range(count) for name in PARTS]
        parts, inner = [present(tensors, name) for name in names], self.settings.width
        width = parts[2].shape[-1] if parts and parts[2].ndim else None
        shapes = [(inner, width), (width, inner), (width,)] * count
        for name, part, shape in zip(names, parts, shapes, strict=True):
            check_tensor(name, part, shape, "float32")
        self.all = []
        for three in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            self.add(*three)


def opened(score: Tensor) -> Tensor:
    """Return f(b) = |2 sigmoid(b) - 1|, which is |tanh(b / 2)| and exactly 0 at 0."""
    return (score / 2).tanh().abs()


def started(width: int, inner: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return g1 (H, D) and g2 (D, H) of the first gate, uniform in +-1/sqrt(columns)."""

    def uniform(rows: int, columns: int) -> Tensor:
        return (2 * torch.rand(rows, columns, generator=generator) - 1) / math.sqrt(columns)

    return uniform(inner, width), uniform(width, inner)
