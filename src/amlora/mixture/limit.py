"""How far from a stage's prompts a new one may lie, told by these prompts alone."""

import math
from statistics import NormalDist

import torch
from torch import Tensor

from amlora.mixture.shrink import LEAST_VARIANCE

LEAST_PROMPTS = 8
"""Of a stage, for their distances to say how far away a prompt may be."""


def left_out_distances(rest: Tensor, own: Tensor, share: float) -> Tensor:
    """Return each prompt's squared distance from a stage's mean in units of its variances.

    Mean and variances are those of the other prompts, as if this one were new: leaving x out of n
    moves it n / (n - 1) times as far from the mean, and takes n / (n - 1) times its square out of
    the scatter. `rest` (n, D) are the prompts minus their mean, `own` (D) the sum of its squares,
    and `share` is the sphere's in the variances.
    """
    count = len(rest)
    if count == 1:
        return torch.full((1,), math.inf, dtype=rest.dtype)
    times = count / (count - 1)
    variances = (own - times * rest.square()).clamp(min=0) / (count - 1)
    variances = (1 - share) * variances + share * variances.mean(1, keepdim=True) + LEAST_VARIANCE
    return ((times * rest).square() / variances).sum(1)


def limit_of(distances: Tensor, reject: float) -> float:
    """Return what a new prompt's distance should exceed with a chance of `reject`.

    The distances' logarithms are taken to be normal above their median, with the deviation that
    their ninth decile tells: neither a few odd prompts nor a few that are all alike move it much.
    An order statistic would be exact for any distances, but at one in a hundred needs 99 prompts
    and is then the largest of them. It is infinity where the chance is 0, or the stage's own
    prompts, whose distances are (n) each as if it were new, are too few to tell.
    """
    if len(distances) < LEAST_PROMPTS or not reject:
        return math.inf
    logs = distances.clamp(min=LEAST_VARIANCE).log()
    median, decile = (float(logs.quantile(share)) for share in (0.5, 0.9))
    normal = NormalDist()
    return math.exp(median + (decile - median) * normal.inv_cdf(1 - reject) / normal.inv_cdf(0.9))
