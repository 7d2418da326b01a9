"""Small random mixtures, and the same done with the reference, for the tests of this folder."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from amlora.mixture import reference
from amlora.mixture.bank import Trained
from amlora.mixture.layer import Control, MixtureLinear
from amlora.mixture.reference import Combine


class Inputs(NamedTuple):
    """The arguments of `mix`: x (..., D_in), a (K, D_in), b (K, D_out), w (N, D_out), spread."""

    x: Tensor
    a: Tensor
    b: Tensor
    w: Tensor
    spread: Tensor


def random_inputs(
    ranks: Sequence[int],
    *,
    shape: tuple[int, ...] = (7,),
    d_in: int = 6,
    d_out: int = 5,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Inputs:
    """Return random inputs that want gradients; the LoRAs' scales are 0.5, 0.75, 1 and so on."""
    generator = torch.Generator().manual_seed(seed)

    def random(*size: int) -> Tensor:
        values = torch.randn(size, generator=generator, dtype=torch.float64)
        return values.to(dtype).requires_grad_()

    blocks = [torch.full((1, rank), 0.5 + index / 4) for index, rank in enumerate(ranks)]
    rows = sum(ranks)
    return Inputs(
        random(*shape, d_in),
        random(rows, d_in),
        random(rows, d_out),
        random(len(ranks), d_out),
        torch.block_diag(*blocks).to(dtype),
    )


def common(ranks: Sequence[int]) -> int:
    """Return the rank of all LoRAs, or 0 where they differ."""
    return ranks[0] if len(set(ranks)) == 1 else 0


def gradients(out: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients of a weighted sum of the outputs, zeros where there are none."""
    weights = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view_as(out)
    found = torch.autograd.grad((out * weights).sum(), inputs, allow_unused=True)
    pairs = zip(found, inputs, strict=True)
    return [torch.zeros_like(tensor) if grad is None else grad for grad, tensor in pairs]


def random_layer(
    ranks: Sequence[int],
    *,
    trained: Trained | None = "all",
    bias: bool = False,
    control: Control | None = None,
    d_in: int = 6,
    d_out: int = 5,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> MixtureLinear:
    """Return an adapted linear layer whose LoRAs are not zero; `trained` None is frozen."""
    torch.manual_seed(seed)
    base = nn.Linear(d_in, d_out, bias=bias).requires_grad_(False)
    layer = MixtureLinear("layer", base, d_in, d_out, control or Control())
    for index, rank in enumerate(ranks):
        b = torch.randn(rank, d_out) / 2
        layer.bank.extend(torch.randn(rank, d_in), b, torch.randn(d_out), alpha=1.0 + index)
    if trained is not None:
        layer.bank.train_newest(trained)
    return layer.to(dtype)


def specified(layer: MixtureLinear, x: Tensor, stacks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return what the layer should answer with the given a, b and w, and the scores."""
    (a, b, w), control = stacks, layer.control
    settings = {"combine": control.combine, "newcomer": control.newcomer}
    out, scores = reference.mix(x, a, b, w, layer.bank.spread, **settings)
    return layer.base(x) + out, scores


def kept_bytes(run: Callable[[], Tensor], module: nn.Module) -> int:
    """Return the bytes kept for backward: each storage once, the module's own left out."""
    own = [*module.parameters(), *module.buffers()]
    known = {tensor.untyped_storage().data_ptr() for tensor in own}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run()
    assert out.requires_grad
    return sum(kept.values())


COMBINES: tuple[Combine, ...] = ("attention", "sum", "mean")
