"""Which directions a layer's inputs use, and which those of earlier tasks leave free.

Gradient projection memory (Saha et al. 2021, arXiv 2103.09762): a linear layer's gradient lies in
the span of its inputs, so an update that is orthogonal to the inputs of earlier tasks changes
nothing for them. All is computed from second moments, D x D numbers however many inputs there were:
the left singular vectors of inputs H are the eigenvectors of H H^T, its squared singular values
their eigenvalues.

Query and value of a block read the same tensor, and so may other layers. Their moments are summed
once and are one tensor, so that what follows from them is made once as well.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.engine.batch import Batch, collate, length
from amlora.engine.encode import Row
from amlora.engine.padding import Padding, Side
from amlora.engine.route import by_routes
from amlora.mixture.layer import MixtureLinear

Quantity = Literal["inputs", "moments"]
"""What a subspace holds a share of: the sum of squares of inputs, H, as Saha et al. write; or that
of their second moments, H H^T, as the authors of InfLoRA and GainLoRA compute it. Squared
eigenvalues are more uneven than eigenvalues, so the same share of moments is fewer directions."""
UNUSED = 1e-10
"""A direction with at most this share of the sum of all squares is one that is not used at all."""
BATCH = 8
"""Rows in one forward pass."""
Inputs = tuple[int, ...]
"""Which inputs a layer was given, by their numbers, in turn."""


class Moments:
    """The sums of x x^T over the inputs that layers were given, padding left out."""

    def __init__(self, layers: Mapping[str, MixtureLinear], padding: Padding) -> None:
        self.layers, self.padding = layers, padding
        self.given: dict[str, Inputs] = dict.fromkeys(layers, ())
        self.sums: dict[Inputs, tuple[Tensor, int]] = {}  # with the number of tokens
        self.count = 0  # of inputs
        # By side, as in cross-attention they take turns: the input, its number, product and tokens.
        self.latest: dict[Side, tuple[Tensor, int, Tensor, int]] = {}

    def begin(self, batch: Batch) -> None:
        """Make ready for a batch."""
        self.padding.begin(batch)
        self.latest = {}
        self.sums = {given: self.sums[given] for given in self.given.values() if given}

    def add(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Add the input (rows, tokens, D_in) of an adapted layer that is about to run."""
        assert isinstance(module, MixtureLinear)
        side = self.padding.side(module.name, inputs[0])
        if side not in self.latest or self.latest[side][0] is not inputs[0]:
            self.count += 1
            found = product(inputs[0], self.padding.masks[side])
            self.latest[side] = (inputs[0], self.count, *found)
        _, number, squares, tokens = self.latest[side]
        before = self.given[module.name]
        after = self.given[module.name] = (*before, number)
        if after not in self.sums:
            total, count = self.sums[before] if before else (torch.zeros_like(squares), 0)
            self.sums[after] = total.to(squares.device) + squares, count + tokens

    def means(self) -> dict[str, Tensor]:
        """Return (D_in, D_in) float64 on the CPU by layer, one tensor for layers with one sum.

        Zeros for a layer that no text passes through.
        """
        means = {
            given: total.cpu() / max(1, tokens) for given, (total, tokens) in self.sums.items()
        }
        widths = {name: layer.bank.a.shape[1] for name, layer in self.layers.items()}
        return {
            name: means[given] if given else torch.zeros([widths[name]] * 2, dtype=torch.float64)
            for name, given in self.given.items()
        }


def product(given: Tensor, mask: Tensor) -> tuple[Tensor, int]:
    """Return the sum of x x^T over an input's tokens, (D, D) float64, and how many there are."""
    # Some models flatten rows and tokens before a layer.
    x = given.detach().reshape(-1, given.shape[-1])[mask.to(torch.bool).reshape(-1)]
    # Products of float32 would give directions to rounding that nothing uses.
    x = x.double()
    return x.T @ x, len(x)


def second_moments(
    backbone: Backbone, layers: Mapping[str, MixtureLinear], rows: Sequence[Row]
) -> dict[str, Tensor]:
    """Run rows, prompt and right answer, by their routes through the model, without dropout.

    Returns:
        By layer, (D_in, D_in) float64 on the CPU: the mean of x x^T over all tokens of all rows.
        Layers that were given the same tensor in every forward pass have the same tensor here.
    """
    found = Moments(layers, Padding(backbone))
    hooks = [layer.register_forward_pre_hook(found.add) for layer in layers.values()]
    ordered = sorted(rows, key=length)
    try:
        with found.padding.watched(), torch.no_grad(), backbone.evaluating():
            for i in range(0, len(ordered), BATCH):
                batch = collate(ordered[i : i + BATCH], backbone, share=1.0)
                found.begin(batch)
                with by_routes(backbone, batch.rows):
                    backbone.model(**batch.inputs, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return found.means()


def leading(moments: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return the directions that inputs use outside a subspace, the most used first.

    Args:
        moments: (D, D) float64, H H^T up to a factor.
        basis: (D, K) orthonormal columns of the subspace.

    Returns:
        (D, M) float64 orthonormal columns, orthogonal to the basis as well, and the (M) parts of
        the trace of `moments` that lie along them.
    """
    old = basis.to(moments)
    outside = torch.eye(len(moments)).to(moments) - old @ old.T if old.shape[1] else None
    left = moments if outside is None else outside @ moments @ outside
    values, vectors = torch.linalg.eigh(left)
    used = values.flip(0) > UNUSED * moments.trace()
    found = vectors.flip(1)[:, used]
    # Rounding leaves a little of the subspace in them.
    found = torch.linalg.qr(found if outside is None else outside @ found).Q
    return found, values.flip(0)[used]


def once_an_input(
    made: Callable[[Tensor, Tensor], Tensor],
    moments: Mapping[str, Tensor],
    bases: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Make something of each layer's moments (D, D) and basis (D, K).

    It is made once, and is one tensor, for layers that have one tensor of moments and equal bases.
    """
    found: dict[str, Tensor] = {}
    for name, basis in bases.items():
        same = (
            result
            for other, result in found.items()
            if moments[other] is moments[name] and torch.equal(bases[other], basis)
        )
        known = next(same, None)
        found[name] = made(moments[name], basis) if known is None else known
    return found


def extended(basis: Tensor, moments: Tensor, share: float, of: Quantity = "inputs") -> Tensor:
    """Add as few directions to a subspace as make it hold a share of the squares of new inputs.

    Args:
        basis: (D, K) orthonormal columns.
        moments: (D, D) float64 of the new inputs.
        share: above 0 and at most 1; for 1 every direction that is used at all.
        of: whose squares are added up. With "moments" the directions are the left singular vectors
            of what is left of the moments.

    Returns:
        (D, K + M) in the basis's dtype, its first K columns as they were.
    """
    if of == "moments" and share < 1:
        moments = moments @ moments
    directions, parts = leading(moments, basis)
    wanted = share * moments.trace()
    held = moments.trace() - parts.sum()  # by the basis, and by what counts as unused
    before = held + torch.cat([parts.new_zeros(1), parts.cumsum(0)[:-1]])
    more = len(parts) if share == 1 else int((before < wanted).sum())
    return torch.cat([basis, directions[:, :more].to(basis)], 1)
