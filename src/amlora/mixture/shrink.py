"""A covariance that can be inverted: the estimate and a sphere, mixed.

Letters: D numbers in a vector.
"""

import torch
from torch import Tensor

LEAST_SHRINKAGE = 1e-4
"""So that a covariance of fewer vectors than D can be inverted, whatever the rounding."""
LEAST_VARIANCE = 1e-12
"""Stands for the variance of vectors that are all the same."""


def shrunk(
    scatter: Tensor, fourth: Tensor, count: int, share: float | None
) -> tuple[Tensor, float]:
    """Return a covariance shrunk towards a sphere, and the sphere's share.

    Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices",
    lemmas 3.2 to 3.4: the share is the estimate's variance over its squared distance from the
    sphere, which makes the expected squared error least. For a diagonal covariance both are taken
    among diagonal ones, as by Opgen-Rhein & Strimmer 2007, whose target is the median.

    Args:
        scatter: (D, D) the sum of outer products of centred vectors, or (D) its diagonal.
        fourth: the sum over vectors of the squared entries of their outer product, or diagonal.
        count: vectors.
        share: a share to use instead, 0..1.
    """
    estimate = scatter / count
    full = estimate.ndim == 2
    diagonal = estimate.diagonal() if full else estimate
    level = diagonal.mean()
    sphere = torch.diag(level.expand_as(diagonal)) if full else level.expand_as(diagonal)
    if share is None:
        distance = (estimate - sphere).square().sum()
        variance = (fourth / count - estimate.square().sum()) / count
        share = 1.0 if not distance > 0 else float((variance / distance).clamp(0, 1))
    share = max(share, LEAST_SHRINKAGE)
    mixed = (1 - share) * estimate + share * sphere
    least = torch.full_like(diagonal, LEAST_VARIANCE)
    return mixed + (torch.diag(least) if full else least), share
