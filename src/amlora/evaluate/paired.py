"""What two versions' scores of the same rows say: the change, its interval, what n rows can show.

Most versions change few answers, often none, so an interval must hold there: neither the normal one
nor the bootstrap does, both being a point where no row changed. A score interval does. It holds
every mean d that the rows do not speak against, where their deviation is taken not as it was seen
but as it would be if d were true:

    |mean - d| <= z * sqrt(variance(d) / n)

variance(d) is that of the likeliest distribution of mean d, over the values that were seen and the
two that a row can reach at most. It is

- Wilson's interval (1927, JASA 22:209-212) of scores that are 0 or 1;
- Tango's interval (1998, Statistics in Medicine 17:891-908) of the change of such scores;
- of graded scores, such as F1, the same with more values than two or three; the likeliest
  distribution is then that of empirical likelihood (Owen 1988, Biometrika 75:237-249), which ends
  at the values seen where this one goes on to the largest loss.

Where nothing changed in n rows it ends at z^2 / (n + z^2): 1.9 points at 200 rows.
"""

from collections.abc import Sequence
from importlib import import_module
from math import ceil, fsum, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from amlora.errors import InputError
from amlora.evaluate.statistics import Difference, Interval, check_level

if TYPE_CHECKING:
    import numpy as np

DIGITS = 12
"""After the point, of a value."""
TINY = 1e-12
"""Of a mean: so far from its ends the search for an interval's end begins."""


def paired_change(
    before: Sequence[float], after: Sequence[float], level: float = 0.95
) -> Difference:
    """Mean change of scores 0..1 of the same rows, and its score interval.

    It speaks of prompts like the kept ones: rows are taken for independent draws.

    Args:
        before: a row's score each.
        after: the same rows' scores, in the same order.
        level: coverage, 0..1.

    Raises:
        InputError: no rows, rows that do not pair up, scores outside 0..1, or a level outside
            (0, 1).
    """
    if len(before) != len(after):
        raise InputError(f"rows do not pair up: {len(before)} and {len(after)}.")
    check_scores([*before, *after])
    gaps = [new - old for old, new in zip(before, after, strict=True)]
    return Difference(fsum(gaps) / len(gaps), score_interval(gaps, -1.0, 1.0, level))


def mean_interval(scores: Sequence[float], level: float = 0.95) -> Interval:
    """Score interval of the mean of scores 0..1: Wilson's where all of them are 0 or 1.

    Raises:
        InputError: no rows, scores outside 0..1, or a level outside (0, 1).
    """
    check_scores(scores)
    return score_interval(scores, 0.0, 1.0, level)


def check_scores(scores: Sequence[float]) -> None:
    """Refuse scores that are not 0..1, or none, by an InputError."""
    if not scores:
        raise InputError("an interval needs at least one row.")
    if wrong := [score for score in scores if not 0 <= score <= 1]:
        raise InputError(f"a score must lie between 0 and 1, got {wrong[0]!r}.")


def score_interval(
    values: Sequence[float], lowest: float, highest: float, level: float
) -> Interval:
    """Score interval of the mean of values that lie between two ends."""
    import numpy as np

    check_level(level)
    z = NormalDist().inv_cdf((1 + level) / 2)
    # Rounding makes differences one value that are one but for their last bits.
    seen, counts = np.unique(np.round(values, DIGITS), return_counts=True)
    low = lower_end(seen - lowest, counts, z) + lowest
    high = highest - lower_end(highest - seen[::-1], counts[::-1], z)
    return Interval(low, high)


def lower_end(values: "np.ndarray[Any, Any]", counts: "np.ndarray[Any, Any]", z: float) -> float:
    """Return the lower end of the mean of values at or above 0.

    Args:
        values: (K,) rising, none below 0, the lowest that there can be.
        counts: (K,) how many rows have each.
        z: how many standard errors away the end lies.
    """
    n = float(counts.sum())
    mean = fsum(values * counts) / n
    if mean <= 2 * TINY:
        return 0.0
    root = import_module("scipy.optimize").brentq

    def errors(end: float) -> float:
        """Standard errors from an end to the mean, less z: it falls as the end nears the mean."""
        return (mean - end) / sqrt(variance(values, counts / n, end, root) / n) - z

    low, high = TINY, mean - TINY
    # Where even the lowest mean that can be told from 0 is too near, 0 is the end.
    return 0.0 if errors(low) <= 0 else float(root(errors, low, high, xtol=TINY))


def variance(
    values: "np.ndarray[Any, Any]", shares: "np.ndarray[Any, Any]", mean: float, root: Any
) -> float:
    """Variance of the likeliest distribution that has a mean below that of the rows.

    It has the weights shares / (1 + t (values - mean)), and what is left of 1 at 0. t is the
    multiplier of the mean's condition (Owen 1988); at its largest, 1 / mean, the weight at 0 is
    what it takes.

    Args:
        values: (K,) rising, none below 0.
        shares: (K,) of the rows.
        mean: above 0.
        root: finds where a function is 0 between two ends.
    """
    gaps = values - mean

    def excess(t: float) -> float:
        return float((shares * gaps / (1 + t * gaps)).sum())

    most = 1 / mean
    if values[0] == 0:  # it has weight at any t below
        t = float(root(excess, 0.0, most * (1 - TINY)))
    else:
        t = most if excess(most) >= 0 else float(root(excess, 0.0, most))
    weights = shares / (1 + t * gaps)
    rest = max(0.0, 1 - float(weights.sum()))
    return float((weights * gaps**2).sum()) + rest * mean**2


def power_of(rows: int, drop: float, discordant: float | None = None, level: float = 0.95) -> float:
    """Chance that a true drop puts the interval of the change wholly below 0.

    The normal form of Connor (1987, Biometrics 43:207-211) for paired proportions. All rests on how
    many rows change at all. A drop of 2 points takes 462 rows at a power of 80 % where 3 % of rows
    change and 1,853 where 12 % do, one of 5 points 122 (losses alone) and 295, when looked at from
    one side at 5 % (`level` 0.9); a 95 % interval takes a quarter more.

    Args:
        rows: that are compared.
        drop: of the mean score, above 0 and at most 1.
        discordant: mean squared change of a row's score; of scores 0 or 1 the share of rows that
            change. None, or less than the drop takes: losses alone.
        level: of the interval, 0..1.

    Raises:
        InputError: a number of rows, drop, share or level that cannot be.
    """
    if rows < 0:
        raise InputError(f"rows must be at least 0, got {rows}.")
    z, changing = planned(drop, discordant, level)
    if changing == drop * drop:
        return 1.0 if rows else 0.0  # every row drops, by all it has
    over = drop * sqrt(rows) - z * sqrt(changing)
    return NormalDist().cdf(over / sqrt(changing - drop * drop))


def rows_needed(
    drop: float, power: float = 0.8, discordant: float | None = None, level: float = 0.95
) -> int:
    """Rows at which `power_of` a drop reaches a power.

    Raises:
        InputError: a power outside (0, 1), or a drop, share or level that cannot be.
    """
    if not 0 < power < 1:
        raise InputError(f"a power must lie between 0 and 1, got {power}.")
    z, changing = planned(drop, discordant, level)
    more = NormalDist().inv_cdf(power) * sqrt(changing - drop * drop)
    return ceil((max(0.0, z * sqrt(changing) + more) / drop) ** 2)


def planned(drop: float, discordant: float | None, level: float) -> tuple[float, float]:
    """Return how many standard errors make an interval's end, and the mean squared change."""
    check_level(level)
    if not 0 < drop <= 1:
        raise InputError(f"a drop must lie above 0 and be at most 1, got {drop}.")
    if discordant is not None and not 0 <= discordant <= 1:
        raise InputError(f"the share of rows that change must be 0 to 1, got {discordant}.")
    return NormalDist().inv_cdf((1 + level) / 2), max(drop, discordant or 0.0)
