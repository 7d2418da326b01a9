"""MIGU: at each step, only the outputs that are large on the step's rows learn (Du et al. 2024).

Tasks differ in which outputs of a linear layer are large, so their updates get out of each other's
way without being told which task it is (arXiv 2406.17245, section 3.2). Nothing is remembered. The
first task learns without a mask, as in the authors' scripts: there is nothing yet to keep.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Tensor, distributed, nn

from amlora.engine.backbone import Backbone
from amlora.engine.batch import Batch
from amlora.engine.padding import Padding
from amlora.methods.base import Stage, Terms
from amlora.methods.seq_ft import SeqFT, TrainableSettings
from amlora.mixture.inject import linear_sizes
from amlora.mixture.layer import MixtureLinear


class MIGUSettings(TrainableSettings):
    """What learns, and how much of it at each step."""

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.7
    """T of equation 3: the share of a layer's outputs whose gradients become 0 (section 5.1)."""


class MIGU(SeqFT):
    """Sequential training whose gradients are masked by the size of each layer's outputs."""

    version = 2  # 1 masked the first task too
    Settings = MIGUSettings
    settings: MIGUSettings

    def __init__(self, backbone: Backbone, settings: MIGUSettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.padding = Padding(backbone)  # of the micro-batch that is run
        self.watching = ExitStack()  # holds what `open` added
        self.sizes: dict[str, Tensor] = {}  # of the step so far: sums over tokens of |output|

    def layers(self) -> dict[str, nn.Module]:
        """Return the layers whose gradients are masked: all linear ones but the head, by name."""
        if self.mixture is not None:
            return dict(self.mixture.layers)
        model = self.backbone.model
        head = model.get_output_embeddings()
        named = cast(Iterator[tuple[str, nn.Module]], model.named_modules())
        return {name: layer for name, layer in named if linear_sizes(layer) and layer is not head}

    def open(self, stage: Stage) -> None:
        """Let everything learn; from the second task on add up the sizes of layers' outputs."""
        super().open(stage)
        self.watching.close()
        if stage.index:
            self.watching.enter_context(self.padding.watched())
            for name, layer in self.layers().items():
                hook = layer.register_forward_hook(partial(self.add, name))
                self.watching.callback(hook.remove)

    def end(self, stage: Stage) -> None:
        """Look at outputs no longer."""
        self.watching.close()

    def before_step(self, stage: Stage, step: int) -> None:
        """Start adding up anew, from the second task on."""
        if stage.index:
            self.sizes = {
                key: torch.zeros(weight.shape[axis], device=weight.device)
                for key, weight, axis in self.masked()
            }

    def masked(self) -> Iterator[tuple[str, nn.Parameter, int]]:
        """Yield what is masked: the outputs that decide, a weight, and its axis of outputs."""
        for name, layer in self.layers().items():
            if isinstance(layer, MixtureLinear):
                a, b = layer.bank.a_tail, layer.bank.b_tail
                assert a is not None and b is not None
                yield f"{name}.a", a, 0
                yield f"{name}.b", b, 1
            else:
                # GPT-2's Conv1D keeps its weight as (D_in, D_out).
                yield name, layer.get_parameter("weight"), int(type(layer).__name__ == "Conv1D")
                if layer.bias is not None:
                    yield name, layer.get_parameter("bias"), 0

    def loss(self, batch: Batch) -> Terms:
        """Return the task's loss, and note which tokens are padding."""
        self.padding.begin(batch)
        return super().loss(batch)

    def add(self, name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Add the sizes of a layer's outputs: of all, and of a LoRA's A alone."""
        mask = self.padding.mask(name, inputs[0]).to(torch.bool)
        with torch.no_grad():
            if isinstance(layer, MixtureLinear):
                x, a = inputs[0], layer.bank.a_tail
                assert a is not None
                self.sizes[f"{name}.a"] += size(x.to(a.dtype) @ a.T, mask)
                self.sizes[f"{name}.b"] += size(output, mask)
            else:
                self.sizes[name] += size(output, mask)

    def before_update(self, stage: Stage, step: int) -> None:
        """Set the gradients of the small outputs to 0, from the second task on."""
        if not stage.index:
            return
        totals = over_processes(self.sizes)
        for key, weight, axis in self.masked():
            if weight.grad is not None:
                kept = largest(totals[key], self.settings.threshold).to(weight.grad.dtype)
                weight.grad.mul_(kept.unsqueeze(-1) if weight.ndim == 2 and axis == 0 else kept)


def size(output: Tensor, mask: Tensor) -> Tensor:
    """Return (D) the sum of |output| (rows, tokens, D) where mask (rows, tokens) is true.

    Some models flatten rows and tokens of an output.

    Raises:
        ValueError: the layer was given a part of the tokens only.
    """
    flat = output.reshape(-1, output.shape[-1])
    if len(flat) != mask.numel():
        raise ValueError(f"a layer's output is {tuple(output.shape)}, the mask {tuple(mask.shape)}")
    return flat[mask.reshape(-1)].abs().sum(0, dtype=torch.float32)


def largest(sizes: Tensor, threshold: float) -> Tensor:
    """Return (D) 1 for the outputs that learn, else 0 (equations 3 to 5).

    The threshold is the share, rounded down to a whole number of outputs, that does not learn.
    """
    kept = len(sizes) - math.floor(threshold * len(sizes))
    return torch.zeros_like(sizes).index_fill_(0, sizes.topk(kept).indices, 1.0)


def over_processes(sums: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add sums up over all processes, so that all of them mask alike."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return sums
    flat = torch.cat(list(sums.values()))
    distributed.all_reduce(flat)
    parts = flat.split([len(part) for part in sums.values()])
    return dict(zip(sums, parts, strict=True))
