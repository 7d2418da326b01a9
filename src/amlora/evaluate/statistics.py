"""Intervals and tests: for one score, over seeds, and between methods on equal rows or seeds.

Everything random is seeded by the caller.
"""

from collections.abc import Sequence
from importlib import import_module
from math import sqrt
from statistics import NormalDist, fmean, stdev
from typing import Any, NamedTuple

from amlora.errors import InputError

EXACT_PAIRS = 16  # up to this many pairs all 2^n sign flips are enumerated
FLIPS = 99_999  # random flips beyond


class Interval(NamedTuple):
    """Both ends of a confidence interval."""

    low: float
    high: float


class Seeds(NamedTuple):
    """A result over seeds: its mean, its sample standard deviation (n - 1) and its t interval."""

    n: int
    mean: float
    sd: float
    interval: Interval


class Difference(NamedTuple):
    """A mean difference with its bootstrap interval."""

    mean: float
    interval: Interval


class SignFlip(NamedTuple):
    """A two-sided sign-flip test: no number of pairs can reach a p below `smallest_p`."""

    mean: float
    p: float
    smallest_p: float


def upper_quantile(chance: float, df: int) -> float:
    """Return what Student's t with `df` degrees of freedom exceeds with a chance in (0, 1)."""
    special: Any = import_module("scipy.special")  # scipy.stats takes a second to import
    return -float(special.stdtrit(df, chance))


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        raise InputError(f"a confidence level must lie between 0 and 1, got {level}.")


def wilson_interval(hits: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a share of rows (Wilson 1927, JASA 22:209-212).

    Args:
        hits: rows answered rightly, 0..n.
        n: rows, at least 1.
        level: coverage, 0..1.

    Returns:
        The interval of the share, inside 0..1, also at 0 and n hits.

    Raises:
        InputError: hits not in 0..n, no rows, or a level outside (0, 1).
    """
    if n < 1 or not 0 <= hits <= n:
        raise InputError(f"an interval needs 0 <= hits <= n and n >= 1, got {hits} of {n}.")
    check_level(level)
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and n hits one end is exactly 0 or 1; rounding must not push it past.
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return Interval(low, high)


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1); the latter is None for a single value.

    Raises:
        InputError: no values.
    """
    if not values:
        raise InputError("a mean over seeds needs at least one value.")
    return fmean(values), stdev(values) if len(values) > 1 else None


def seed_interval(values: Sequence[float], level: float = 0.95) -> Seeds:
    """Student's t interval of the mean over seeds (Student 1908).

    With three seeds its half-width is 2.5 standard deviations: that is the honest size.

    Raises:
        InputError: fewer than two values, or a level outside (0, 1).
    """
    check_level(level)
    if len(values) < 2:
        raise InputError(f"an interval over seeds needs at least 2 values, got {len(values)}.")
    mean, sd = fmean(values), stdev(values)
    half = upper_quantile((1 - level) / 2, len(values) - 1) * sd / sqrt(len(values))
    return Seeds(len(values), mean, sd, Interval(mean - half, mean + half))


def paired_bootstrap(
    first: Sequence[Sequence[float]],
    second: Sequence[Sequence[float]],
    *,
    seed: int,
    draws: int = 10_000,
    level: float = 0.95,
) -> Difference:
    """Interval of a difference in average performance between two runs on the same test rows.

    Rows are drawn in pairs and within their task, so the tasks keep their sizes and their equal
    weights: the percentile bootstrap of Efron & Tibshirani 1993 (chapter 13), stratified by task.
    It speaks of the test rows only; two runs also differ by their seeds.

    Args:
        first: per task, each row's score (a hit is 1), in a fixed order of rows.
        second: the other run's scores of the same rows in the same order.
        seed: of the draws.
        draws: bootstrap samples.
        level: coverage, 0..1.

    Returns:
        Mean over tasks of the mean of first - second, and its interval.

    Raises:
        InputError: tasks or rows that do not pair up, an empty task, or bad draws or level.
    """
    import numpy as np

    check_level(level)
    if draws < 1:
        raise InputError(f"draws must be at least 1, got {draws}.")
    if not first or len(first) != len(second):
        raise InputError(f"tasks do not pair up: {len(first)} and {len(second)}.")
    generator = np.random.default_rng(seed)
    totals = np.zeros(draws)
    means: list[float] = []
    for task, (ours, theirs) in enumerate(zip(first, second, strict=True)):
        if not ours or len(ours) != len(theirs):
            raise InputError(f"rows of task {task} do not pair up: {len(ours)} and {len(theirs)}.")
        gaps = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
        # Rows with equal differences are exchangeable, so drawing their counts is drawing the rows.
        values, counts = np.unique(gaps, return_counts=True)
        drawn = generator.multinomial(len(gaps), counts / len(gaps), size=draws)
        totals += drawn @ values / len(gaps)
        means.append(float(gaps.mean()))
    tail = (1 - level) / 2
    low, high = np.quantile(totals / len(means), [tail, 1 - tail])
    return Difference(fmean(means), Interval(float(low), float(high)))


def sign_flip_test(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> SignFlip:
    """Whether two methods differ over paired seeds, by flipping the signs of their differences.

    Fisher's randomisation test (The Design of Experiments, 1935, section 21): exact up to 16 pairs,
    99,999 random flips beyond. With n pairs no two-sided p lies below 2 / 2^n: 0.25 for three
    seeds, 0.0625 for five, so six seeds are the fewest that can reach 0.05.

    Args:
        first: one result per seed.
        second: the other method's results, same seeds in the same order.
        seed: of the random flips; unused when exact.

    Raises:
        InputError: fewer than two pairs, or unequal lengths.
    """
    stats: Any = import_module("scipy.stats")
    if len(first) != len(second) or len(first) < 2:
        raise InputError(
            f"a sign-flip test needs at least 2 pairs of seeds, got {len(first)} and {len(second)}."
        )
    exact = len(first) <= EXACT_PAIRS
    gaps = [a - b for a, b in zip(first, second, strict=True)]
    # For one sample, "samples" flips the signs of its entries.
    result = stats.permutation_test(
        (gaps,),
        fmean_along,
        permutation_type="samples",
        vectorized=True,
        n_resamples=2 ** len(gaps) if exact else FLIPS,
        batch=4096,
        rng=seed,
    )
    smallest = 2 / 2 ** len(gaps) if exact else 2 / (FLIPS + 1)
    return SignFlip(fmean(gaps), float(result.pvalue), smallest)


def fmean_along(values: Any, axis: int) -> Any:
    """Mean of a numpy array along an axis, as scipy calls it."""
    return values.mean(axis)
