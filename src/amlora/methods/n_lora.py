"""N-LoRA: a new LoRA per task, kept sparse so that it collides less with the others (Yang 2024).

All LoRAs are summed as in IncLoRA. While one is learned, the L1 norm of its update of the weights,
B A, is added to the loss (arXiv 2410.10179): two sparse updates seldom change the same weight. The
authors' code multiplies the two the other way round, which is another term: A B, rank x rank.

    loss = task + strength * sum over layers of |B A|_1
"""

from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from amlora.engine.backbone import Backbone
from amlora.errors import InputError
from amlora.methods.base import Terms
from amlora.methods.lora import LoRAMethod, OneLoRASettings, PerTask, number_of


class NLoRASettings(OneLoRASettings):
    """The LoRAs and the weight of the term."""

    strength: PerTask = 5e-5
    """lambda: times the term, summed over layers; one number or one per task. Ours, chosen on a
    first task's dev rows (docs/methods/n_lora.md): the authors' values, 0.4 to 1.8 by task order,
    are for the "inner" term."""
    term: Literal["update", "inner"] = "update"
    """Of what the L1 norm is taken: "update", B A, of the size of the weights, as the paper writes;
    "inner", A B, rank x rank, as the authors' code has it, for layers that are as wide as long."""


class NLoRA(LoRAMethod):
    """Learn each task by changing few weights."""

    Settings = NLoRASettings
    settings: NLoRASettings
    per_task = ("strength",)

    def __init__(self, backbone: Backbone, settings: NLoRASettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        if self.settings.term == "inner":
            for name, layer in self.mixture.layers.items():
                read, written = layer.bank.a.shape[1], layer.bank.b.shape[1]
                if read != written:
                    raise InputError(
                        f'method.term: "inner" needs layers as wide as long, but {name} reads'
                        f" {read} numbers and writes {written}; choose other method.lora.targets,"
                        ' or "update".'
                    )

    def penalty(self) -> Terms:
        """Return the L1 norm over all adapted layers, unless its weight is 0."""
        strength = number_of(self.settings.strength, self.index)
        if not strength:
            return {}
        tails = [layer.bank.tails() for layer in self.mixture.layers.values()]
        norm = size if self.settings.term == "update" else inner_size
        norms = torch.stack([norm(a, b) for a, b, _ in tails])
        return {"sparsity": strength * norms.sum()}


class Size(torch.autograd.Function):
    """The sum of |B A|'s entries. D_out x D_in numbers a layer are not kept for the backward pass.

    The gradients, of the size of a LoRA, are computed with the value.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        update = b.T @ a
        sign = update.sign()
        ctx.save_for_backward(b @ sign, a @ sign.T)
        return update.abs_().sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, share: Tensor) -> tuple[Tensor, Tensor]:
        d_a, d_b = ctx.saved_tensors
        return d_a * share, d_b * share


def size(a: Tensor, b: Tensor) -> Tensor:
    """Return |B A|_1 of a (R, D_in) and b (R, D_out), without the scale alpha / rank."""
    return cast(Tensor, Size.apply(a, b))


def inner_size(a: Tensor, b: Tensor) -> Tensor:
    """Return |A B|_1 of a and b (R, D)."""
    return (a @ b.T).abs().sum()
