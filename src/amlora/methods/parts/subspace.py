"""Directions that inputs use, and those that earlier tasks' inputs leave free.

Gradient projection memory (Saha et al. 2021, arXiv 2103.09762): a linear layer's gradient lies in
the span of its inputs, so an update that is orthogonal to the inputs of earlier tasks changes
nothing for them. All is computed from second moments, D x D numbers however many inputs there were:
the left singular vectors of inputs H are the eigenvectors of H H^T, its squared singular values
their eigenvalues.
"""

import torch
from torch import Tensor

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
    outside = torch.eye(len(moments)).to(moments) - old @ old.T
    values, vectors = torch.linalg.eigh(outside @ moments @ outside)
    used = values.flip(0) > UNUSED * moments.trace()
    # Rounding leaves a little of the subspace in them.
    found = torch.linalg.qr(outside @ vectors.flip(1)[:, used]).Q
    return found, values.flip(0)[used]


def extended(basis: Tensor, moments: Tensor, share: float) -> Tensor:
    """Add as few directions to a subspace as make it hold a share of the squares of new inputs.

    Args:
        basis: (D, K) orthonormal columns.
        moments: (D, D) float64 of the new inputs.
        share: of the trace, above 0 and at most 1; for 1 every direction that is used at all.

    Returns:
        (D, K + M) in the basis's dtype, its first K columns as they were.
    """
    directions, parts = leading(moments, basis)
    wanted = share * moments.trace()
    held = moments.trace() - parts.sum()  # by the basis, and by what counts as unused
    before = held + torch.cat([parts.new_zeros(1), parts.cumsum(0)[:-1]])
    more = len(parts) if share == 1 else int((before < wanted).sum())
    return torch.cat([basis, directions[:, :more].to(basis)], 1)
