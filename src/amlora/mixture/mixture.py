"""The mixture of a whole model: all adapted layers, grown, trained and stored together."""

import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import get_args

import torch
from torch import Tensor, nn

from amlora.mixture.bank import Start, Trained
from amlora.mixture.gates import Gates
from amlora.mixture.layer import Control, MixtureLinear
from amlora.mixture.reference import sparsity
from amlora.mixture.scores import MaskOf, Recorder
from amlora.mixture.stages import Stages
from amlora.mixture.tensors import Dtype, check_tensor, present

STACKS = ("a", "b", "w")
KEPT = "kept"


class Mixture:
    """Adapted layers by name, in the model's order; `names` are the LoRAs', oldest first.

    Where each prompt is answered by the model of a stage, `stages` tells which, and `teams` which
    LoRAs that is. Where LoRAs have gates, one each, `gates` tells how far they are open for a
    prompt.
    """

    def __init__(self, layers: dict[str, MixtureLinear], control: Control) -> None:
        self.layers = layers
        self.control = control
        self.names: list[str] = []
        self.stages: Stages | None = None
        self.skills: list[str] = []  # what the stages are called, where not as the LoRAs
        self.gates: Gates | None = None

    def __len__(self) -> int:
        """Return N, the number of LoRAs."""
        return len(self.names)

    @property
    def teams(self) -> list[tuple[int, ...]]:
        """The places of each stage's LoRAs, its own last; [] where stage k has the oldest k."""
        return list(next(iter(self.layers.values())).bank.teams)

    @teams.setter
    def teams(self, teams: Sequence[tuple[int, ...]]) -> None:
        for layer in self.layers.values():
            layer.bank.teams = list(teams)
            layer.bank.forget()

    @property
    def stage_names(self) -> list[str]:
        """What the stages are called, in the order of `stages`."""
        return self.skills or self.names

    def grow(self, name: str, *, rank: int, alpha: float, start: Start, seed: int) -> None:
        """Append a LoRA to every layer, without effect on the model until it learns (B is zero).

        The seed, the layer's name and the LoRA's number decide its numbers; see `Bank.grow`.
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

    def keep(self) -> None:
        """Keep every layer's selectors as they are now, those of the stage that has just ended.

        Where no attention decides there are none to keep: the LoRAs alone are the stage's model.
        """
        if self.control.combine == "attention":
            for layer in self.layers.values():
                layer.bank.keep()

    def kept(self) -> dict[str, Tensor]:
        """Return the selectors kept at all stages as "<layer>.kept" (no copy)."""
        return {f"{name}.{KEPT}": layer.bank.kept for name, layer in self.layers.items()}

    def lora_parameters(self) -> list[nn.Parameter]:
        """Return the trained tails of A and B, layer by layer."""
        banks = [layer.bank for layer in self.layers.values()]
        return [tail for b in banks for tail in (b.a_tail, b.b_tail) if tail is not None]

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

    def lora(self, index: int) -> dict[str, Tensor]:
        """Return one LoRA as "<layer>.a" (R, D_in) and "<layer>.b" (R, D_out) (no copy)."""
        found: dict[str, Tensor] = {}
        for name, layer in self.layers.items():
            rows = layer.bank.rows(index)
            found |= {f"{name}.a": layer.bank.a[rows], f"{name}.b": layer.bank.b[rows]}
        return found

    def shapes(self) -> tuple[list[int], list[float]]:
        """Return ranks and alphas of the LoRAs, oldest first; equal in every layer."""
        bank = next(iter(self.layers.values())).bank
        return list(bank.ranks), list(bank.alphas)

    def restore(
        self,
        names: list[str],
        ranks: list[int],
        alphas: list[float],
        tensors: Mapping[str, Tensor],
        *,
        stages: int = 0,
        teams: Sequence[tuple[int, ...]] = (),
    ) -> None:
        """Replace all LoRAs by stored ones, oldest first and frozen.

        Args:
            names, ranks, alphas: of each LoRA.
            tensors: as `tensors()` returns them, and `kept()` where there are stages.
            stages: how many stages' selectors were kept, 0 where no attention decides.
            teams: see `teams`.

        Raises:
            InputError: a layer's tensor is missing, or not what it should be; all is kept then.
        """
        rows, loras = sum(ranks), len(ranks)
        chosen = sum(map(len, teams)) if teams else stages * (stages + 1) // 2
        found: dict[str, list[Tensor]] = {}
        for layer_name, layer in self.layers.items():
            d_in, d_out = layer.bank.a.shape[1], layer.bank.b.shape[1]
            wanted = {"a": (rows, d_in), "b": (rows, d_out), "w": (loras, d_out)}
            wanted |= {KEPT: (chosen, d_out)} if stages else {}
            found[layer_name] = []
            for stack, shape in wanted.items():
                name = f"{layer_name}.{stack}"
                tensor = present(tensors, name)
                kind = str(tensor.dtype).removeprefix("torch.")
                check_tensor(name, tensor, shape, kind if kind in get_args(Dtype) else "float32")
                found[layer_name].append(tensor)
        for layer_name, (a, b, w, *kept) in found.items():
            bank = self.layers[layer_name].bank
            bank.set(ranks, alphas, (a, b, w), kept[0] if kept else bank.kept[:0], teams)
        self.names = list(names)

    @contextmanager
    def recording(self, mask_of: MaskOf) -> Generator[Recorder]:
        """Collect scores of the forward passes inside, of the tokens that `mask_of` tells."""
        recorder = Recorder(mask_of)
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


def generator_of(seed: int, name: str, index: int) -> torch.Generator:
    """Return a CPU generator decided by a seed, a layer's name and a LoRA's index."""
    key = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)
