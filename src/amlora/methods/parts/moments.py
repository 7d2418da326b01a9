"""Second moments of the inputs of adapted layers over some rows.

Query and value of a block read the same tensor, and so may other layers. Their products are made
once, and their moments are one tensor, so that what follows from them need be made once as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.engine.batch import Batch, collate, length
from amlora.engine.encode import Row
from amlora.engine.padding import Padding
from amlora.engine.route import by_routes
from amlora.mixture.layer import MixtureLinear

BATCH = 8
"""Rows in one forward pass."""


@dataclass(frozen=True, eq=False)
class Sum:
    """The sum of x x^T over some inputs, (D_in, D_in) float64, and how many; never changed."""

    total: Tensor
    tokens: int


@dataclass
class Read:
    """An input that a layer was given, and the sums that it was added to."""

    given: Tensor
    """Kept, so that no other tensor can be taken for it."""
    product: Tensor
    """(D_in, D_in) float64, x x^T over its tokens."""
    tokens: int
    sums: list[tuple[Sum, Sum]] = field(default_factory=list[tuple[Sum, Sum]])
    """Without it and with it."""

    def onto(self, before: Sum) -> Sum:
        """Add it to a sum; layers with one sum before have one sum afterwards."""
        for without, including in self.sums:
            if without is before:
                return including
        total = before.total.to(self.product.device) + self.product
        after = Sum(total, before.tokens + self.tokens)
        self.sums.append((before, after))
        return after


class Moments:
    """The sums over the inputs that layers were given, padding left out."""

    def __init__(self, layers: Mapping[str, MixtureLinear], padding: Padding) -> None:
        empty: dict[int, Sum] = {}
        self.sums: dict[str, Sum] = {}
        for name, layer in layers.items():
            width = layer.bank.a.shape[1]
            nothing = Sum(torch.zeros(width, width, dtype=torch.float64), 0)
            self.sums[name] = empty.setdefault(width, nothing)
        self.padding = padding
        self.latest: dict[str, Read] = {}

    def begin(self, batch: Batch) -> None:
        """Make ready for a batch."""
        self.padding.begin(batch)
        self.latest = {}  # by side: in cross-attention they take turns

    def add(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Add the input (rows, tokens, D_in) of an adapted layer that is about to run."""
        assert isinstance(module, MixtureLinear)
        given = inputs[0]
        side = self.padding.side(module.name, given)
        read = self.latest.get(side)
        if read is None or read.given is not given:
            read = self.latest[side] = self.read(given, self.padding.masks[side])
        self.sums[module.name] = read.onto(self.sums[module.name])

    def read(self, given: Tensor, mask: Tensor) -> Read:
        """Multiply the tokens of an input with themselves."""
        # Some models flatten rows and tokens before a layer.
        x = given.detach().reshape(-1, given.shape[-1])[mask.to(torch.bool).reshape(-1)]
        # Products of float32 would give directions to rounding that nothing uses.
        x = x.double()
        return Read(given, x.T @ x, len(x))

    def means(self) -> dict[str, Tensor]:
        """Return (D_in, D_in) float64 on the CPU by layer, one tensor for layers with one sum.

        Zeros for a layer that no text passes through.
        """
        means: dict[Sum, Tensor] = {}
        for each in self.sums.values():
            if each not in means:
                means[each] = each.total.cpu() / max(1, each.tokens)
        return {name: means[each] for name, each in self.sums.items()}


def second_moments(
    backbone: Backbone, layers: Mapping[str, MixtureLinear], rows: Sequence[Row]
) -> dict[str, Tensor]:
    """Run rows, prompt and right answer, through the model as it is now, without dropout.

    Args:
        backbone: the model; its mode is as before afterwards.
        layers: adapted layers by name.
        rows: at least one; answered by their routes.

    Returns:
        By layer, (D_in, D_in) float64 on the CPU: the mean of x x^T over all tokens of all rows.
        Layers that were given the same tensor in every forward pass have the same tensor here.
    """
    model = backbone.model
    training = model.training
    found = Moments(layers, Padding(backbone))
    hooks = [layer.register_forward_pre_hook(found.add) for layer in layers.values()]
    ordered = sorted(rows, key=length)
    model.eval()
    try:
        with found.padding.watched():
            for i in range(0, len(ordered), BATCH):
                batch = collate(ordered[i : i + BATCH], backbone, share=1.0)
                found.begin(batch)
                with torch.no_grad(), backbone.arithmetic(), by_routes(backbone, batch.rows):
                    model(**batch.inputs, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(training)
    return found.means()
