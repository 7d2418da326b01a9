"""InfLoRA: a LoRA per task that reads only what earlier tasks' inputs do not use (Liang & Li 2024).

All LoRAs are summed as in IncLoRA. Before a task is learned, the rows of its A are made the
directions that the task's inputs use most, outside a subspace that holds the inputs of earlier
tasks; A then stays as it is and B alone is trained (arXiv 2404.00228). What the new LoRA adds to an
old task's answers is then small, whatever B becomes.
"""

import math

import torch
from pydantic import PositiveInt
from torch import Tensor

from amlora.engine.backbone import Backbone
from amlora.methods.base import ParameterGroup, Stage
from amlora.methods.lora import LoRAMethod, OneLoRASettings, SharePerTask, number_of
from amlora.methods.parts.memory import some_rows
from amlora.methods.parts.subspace import Quantity, extended, leading, once_an_input, second_moments

LENGTH = 1 / math.sqrt(3)
"""Of a row of A, as in the authors' code; a random LoRA's rows are as long on average."""


class InfLoRASettings(OneLoRASettings):
    """The LoRAs, how much of old inputs is kept free, and on how many rows inputs are measured."""

    threshold: SharePerTask = 0.95
    """epsilon of gradient projection memory: the share of the squares of a task's inputs that later
    tasks' LoRAs must not read, one number or one per task. Ours, of the size that Saha et al. 2021
    (arXiv 2103.09762) have."""
    threshold_of: Quantity = "inputs"
    """What `threshold` is a share of: "inputs", the squares of the inputs; "moments", the squares
    of their second moments, as in the authors' code, which keeps fewer directions."""
    measured_rows: PositiveInt = 128
    """Rows of a task, drawn at random, on which its inputs are measured, before it is learned and
    after; at most all, as published. Ours."""


class InfLoRA(LoRAMethod):
    """Learn each task in directions of its own inputs that earlier tasks leave free."""

    version = 2  # 1 had rows of A of length 1
    Settings = InfLoRASettings
    settings: InfLoRASettings
    per_task = ("threshold",)

    def __init__(self, backbone: Backbone, settings: InfLoRASettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        # By layer, (D_in, K) orthonormal columns: the directions that earlier tasks' inputs use.
        self.basis: dict[str, Tensor] = {
            name: layer.bank.a.new_zeros(layer.bank.a.shape[1], 0)
            for name, layer in self.mixture.layers.items()
        }
        wanted = {name: (len(basis), None) for name, basis in self.basis.items()}
        self.keep_tensors("basis", lambda: wanted)

    def begin(self, stage: Stage) -> None:
        """Add this task's LoRA, and choose what it reads."""
        super().begin(stage)
        wanted = once_an_input(
            lambda moments, basis: design(moments, basis, self.lora.rank),
            self.measure(stage),
            self.basis,
        )
        for name, layer in self.mixture.layers.items():
            rows = layer.bank.rows(len(layer.bank) - 1)
            layer.bank.a[rows] = wanted[name].to(layer.bank.a)

    def open(self, stage: Stage) -> None:
        """Let the newest LoRA's B alone learn."""
        super().open(stage)
        for layer in self.mixture.layers.values():
            assert layer.bank.a_tail is not None
            layer.bank.a_tail.requires_grad_(False)

    def measure(self, stage: Stage) -> dict[str, Tensor]:
        """Return the second moments of every layer's inputs, on the same rows at any call."""
        count = self.settings.measured_rows
        rows = some_rows(stage.rows, count, self.seed, stage.index, "measured rows")
        return second_moments(self.backbone, self.mixture.layers, self.readable(rows, scoring=True))

    def parameters(self) -> list[ParameterGroup]:
        """Return the newest LoRA's B of every layer."""
        trained = [weight for weight in self.mixture.lora_parameters() if weight.requires_grad]
        return [ParameterGroup("lora", trained)]

    def end(self, stage: Stage) -> None:
        """Freeze, and keep the directions that the task's inputs use in the model as it is now."""
        super().end(stage)
        share = number_of(self.settings.threshold, stage.index)
        of = self.settings.threshold_of
        self.basis = once_an_input(
            lambda moments, basis: extended(basis, moments, share, of),
            self.measure(stage),
            self.basis,
        )


def design(moments: Tensor, basis: Tensor, rank: int) -> Tensor:
    """Return (R, D) orthogonal rows for A: the most used directions outside a subspace.

    Where inputs use fewer directions than that, the other rows are 0 and learn nothing. Arguments
    are those of `leading`.
    """
    rows = LENGTH * leading(moments, basis)[0].T[:rank]
    return torch.cat([rows, rows.new_zeros(rank - len(rows), rows.shape[1])])
