"""Time two things against each other, so that a busy or changing machine weighs on both alike."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

SHORTEST = 0.01
"""Seconds that one sample lasts at least: shorter calls are repeated within it."""


@dataclass(frozen=True)
class Paired:
    """Two things timed in turn."""

    ratio: float
    """Median over pairs of the first's time divided by the second's."""
    first: float
    """Median seconds of one call of the first."""
    second: float
    """Median seconds of one call of the second."""


def pair(
    first: Callable[[], object], second: Callable[[], object], *, pairs: int, warm: int = 2
) -> Paired:
    """Run first and second alternately, the order turned every time, and compare pair by pair.

    Args:
        first, second: what to time; each call does the whole work.
        pairs: samples of each; a ratio is taken in each pair, and the median of them.
        warm: calls of each that are not counted; the last one decides how often a sample repeats.
    """
    repeats = 1
    for _ in range(warm):
        seconds = min(timed(first, 1), timed(second, 1))
        repeats = max(1, round(SHORTEST / seconds))
    return alternate(lambda: timed(first, repeats), lambda: timed(second, repeats), pairs=pairs)


def alternate(first: Callable[[], float], second: Callable[[], float], *, pairs: int) -> Paired:
    """Do what `pair` does with calls that tell their own seconds."""
    samples: list[tuple[float, float]] = []
    for index in range(pairs):
        if index % 2:
            late = second()
            samples.append((first(), late))
        else:
            samples.append((first(), second()))
    return Paired(
        statistics.median(one / two for one, two in samples),
        statistics.median(one for one, _ in samples),
        statistics.median(two for _, two in samples),
    )


def timed(run: Callable[[], object], repeats: int) -> float:
    """Return the mean seconds of one call."""
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats
