"""The mixture of a whole model: all adapted layers, grown, trained and stored together."""

import hashlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from amlora.errors import InputError
from amlora.mixture.bank import Start, Trained
from amlora.mixture.layer import Control, MixtureLinear
from amlora.mixture.reference import sparsity
from amlora.mixture.scores import Recorder

STACKS = ("a", "b", "w")


class Mixture:
    """Adapted layers by name, in the model's order; `names` are the LoRAs', oldest first."""

    def __init__(self, layers: dict[str, MixtureLinear], control: Control) -> None:
        self.layers = layers
        self.control = control
        self.names: list[str] = []

    def __len__(self) -> int:
        """Return N, the number of LoRAs."""
        return len(self.names)

    def grow(self, name: str, *, rank: int, alpha: float, start: Start, seed: int) -> None:
        """Append a LoRA to every layer, without effect on the model until it learns (B is zero).

        Args:
            name: what the LoRA is called, usually its task.
            rank, alpha, start: see `Bank.grow`.
            seed: with the layer's name, decides the new numbers.
        """
        for layer_name, layer in self.layers.items():
            layer.bank.grow(rank, alpha, start, generator_of(seed, layer_name, len(self)))
        self.names.append(name)

    def train_newest(self, selectors: Trained) -> None:
        """Make the newest LoRA of every layer trainable, and its selectors as said."""
        for layer in self.layers.values():
            layer.bank.train_newest(selectors)

    def freeze(self) -> None:
        """Make everything frozen."""
        for layer in self.layers.values():
            layer.bank.freeze()

    def lora_parameters(self) -> list[nn.Parameter]:
        """Return the trained tails of A and B, layer by layer."""
        banks = [layer.bank for layer in self.layers.values()]
        tails = [tail for bank in banks for tail in (bank.a_tail, bank.b_tail)]
        return [tail for tail in tails if tail is not None]

    def selector_parameters(self) -> list[nn.Parameter]:
        """Return the trained tails of the selectors, layer by layer."""
        tails = [layer.bank.w_tail for layer in self.layers.values()]
        return [tail for tail in tails if tail is not None]

    def sparsity(self) -> Tensor:
        """Return the L1 norm of all selectors of all layers, the sum of equation 6."""
        return torch.stack([sparsity(selected(layer)) for layer in self.layers.values()]).sum()

    def tensors(self) -> dict[str, Tensor]:
        """Return every stack as "<layer>.a", "<layer>.b", "<layer>.w" (no copy)."""
        return {
            f"{name}.{stack}": tensor
            for name, layer in self.layers.items()
            for stack, tensor in zip(STACKS, layer.bank.stacks(), strict=True)
        }

    def shapes(self) -> tuple[list[int], list[float]]:
        """Return ranks and alphas of the LoRAs, oldest first; equal in every layer."""
        bank = next(iter(self.layers.values())).bank
        return list(bank.ranks), list(bank.alphas)

    def restore(
        self, names: list[str], ranks: list[int], alphas: list[float], tensors: Mapping[str, Tensor]
    ) -> None:
        """Replace all LoRAs by stored ones, frozen.

        Args:
            names: the LoRAs, oldest first.
            ranks: rows of each.
            alphas: alpha of each.
            tensors: as `tensors()` returns them.

        Raises:
            InputError: a layer's tensor is missing or has the wrong shape; all is kept then.
        """
        found: dict[str, list[Tensor]] = {}
        for layer_name, layer in self.layers.items():
            stacks = [take(tensors, f"{layer_name}.{stack}") for stack in STACKS]
            bank = layer.bank
            wanted = [
                (sum(ranks), bank.a.shape[1]),
                (sum(ranks), bank.b.shape[1]),
                (len(ranks), bank.b.shape[1]),
            ]
            for stack, tensor, shape in zip(STACKS, stacks, wanted, strict=True):
                if tuple(tensor.shape) != shape:
                    raise InputError(
                        f"{layer_name}.{stack}: shape {tuple(tensor.shape)}, expected {shape}."
                    )
            found[layer_name] = stacks
        for layer_name, (a, b, w) in found.items():
            self.layers[layer_name].bank.set(ranks, alphas, a, b, w)
        self.names = list(names)

    @contextmanager
    def recording(self, sides: Mapping[str, str]) -> Generator[Recorder]:
        """Collect scores of the forward passes inside; set the recorder's masks before each."""
        recorder = Recorder(dict(sides))
        self.control.recorder = recorder
        try:
            yield recorder
        finally:
            self.control.recorder = None


def selected(layer: MixtureLinear) -> Tensor:
    """Return the (N, D_out) selectors, trained rows as parameters so that gradients reach them."""
    bank = layer.bank
    if bank.w_tail is None:
        return bank.w
    frozen = len(bank.w) - len(bank.w_tail)
    return torch.cat([bank.w[:frozen], bank.w_tail]) if frozen else bank.w_tail


def take(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """Return a tensor or say that it is missing."""
    if name not in tensors:
        raise InputError(f"{name}: missing from the stored mixture.")
    return tensors[name]


def generator_of(seed: int, name: str, index: int) -> torch.Generator:
    """Return a CPU generator decided by a seed, a layer's name and a LoRA's index."""
    key = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)
