"""Directions that inputs use, and those that earlier tasks' inputs leave free.

Gradient projection memory (Saha et al. 2021, arXiv 2103.09762): a linear layer's gradient lies in
the span of its inputs, so an update that is orthogonal to the inputs of earlier tasks changes
nothing for them. All is computed from second moments, D x D numbers however many inputs there were:
the left singular vectors of inputs H are the eigenvectors of H H^T, its squared singular values
their eigenvalues.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

Quantity = Literal["inputs", "moments"]
"""What a subspace holds a share of: the sum of squares of inputs, H, as Saha et al. write; or that
of their second moments, H H^T, as the authors of InfLoRA and GainLoRA compute it. Squared
eigenvalues are more uneven than eigenvalues, so the same share of moments is fewer directions."""
UNUSED = 1e-10
"""A direction with at most this share of the sum of all squares is one that is not used at all."""


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
    """Make something of each layer's moments and subspace, once for layers that share both.

    Args:
        made: a function of moments (D, D) and a basis (D, K).
        moments: by layer; layers share them where they have one tensor.
        bases: by layer; layers share them where they are equal.

    Returns:
        What was made by layer, one tensor for layers that share.
    """
    known: dict[int, list[tuple[Tensor, Tensor]]] = {}
    found: dict[str, Tensor] = {}
    for name, basis in bases.items():
        of_input = known.setdefault(id(moments[name]), [])
        equal = [result for other, result in of_input if torch.equal(other, basis)]
        if not equal:
            equal = [made(moments[name], basis)]
            of_input.append((basis, equal[0]))
        found[name] = equal[0]
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
