"""Paired changes: two published intervals as special cases, coverage, and what n rows can show."""

from functools import cache
from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom

from amlora.errors import InputError
from amlora.evaluate.paired import (
    mean_interval,
    paired_change,
    power_of,
    rows_needed,
    score_interval,
)
from amlora.evaluate.statistics import Interval, wilson_interval

Z = 1.959963984540054


def counted(lost: int, gained: int, n: int) -> tuple[list[int], list[int]]:
    """Scores before and after, of n rows of which some are lost and some gained."""
    kept = [1] * (n - lost - gained)
    return [1] * lost + [0] * gained + kept, [0] * lost + [1] * gained + kept


@cache
def interval_of(lost: int, gained: int, n: int) -> Interval:
    return paired_change(*counted(lost, gained, n)).interval


def tango(lost: int, gained: int, n: int) -> tuple[float, float]:
    """Tango's interval by the closed form of his constrained estimate (1998, section 3)."""

    def errors(d: float) -> float:
        first, last = -lost - gained + (2 * n - gained + lost) * d, -lost * d * (1 - d)
        share = (sqrt(first * first - 8 * n * last) - first) / (4 * n)
        return (gained - lost - n * d) / sqrt(n * (2 * share + d * (1 - d)))

    mean, tiny = (gained - lost) / n, 1e-12
    root: Any = brentq
    low = root(lambda d: errors(d) - Z, -1 + tiny, mean - tiny)
    return low, root(lambda d: errors(d) + Z, mean + tiny, 1 - tiny)


@pytest.mark.parametrize(
    ("lost", "gained", "n"), [(17, 2, 200), (2, 0, 50), (0, 1, 30), (5, 5, 400), (0, 0, 200)]
)
def test_of_scores_0_and_1_it_is_tangos_interval(lost: int, gained: int, n: int):
    found = paired_change(*counted(lost, gained, n))
    assert found.mean == pytest.approx((gained - lost) / n)
    assert found.interval == pytest.approx(tango(lost, gained, n), abs=1e-9)


@pytest.mark.parametrize(("hits", "n"), [(28, 56), (0, 10), (10, 10), (1, 300), (41, 60)])
def test_of_one_score_a_row_it_is_wilsons_interval(hits: int, n: int):
    found = mean_interval([1] * hits + [0] * (n - hits))
    assert found == pytest.approx(wilson_interval(hits, n), abs=1e-9)


@pytest.mark.parametrize("n", [1, 20, 200, 5000])
def test_without_a_changed_row_its_ends_lie_at_the_rule_of_three_kind(n: int):
    graded = [row % 5 / 4 for row in range(n)]
    end = Z * Z / (n + Z * Z)
    assert paired_change(graded, graded).interval == pytest.approx((-end, end))


def test_of_two_hundred_rows_without_a_change_a_loss_of_two_points_is_ruled_out():
    assert interval_of(0, 0, 200).low > -0.02 > interval_of(0, 0, 180).low


def test_a_few_small_graded_changes_do_not_make_a_point():
    before, after = [0.5] * 200, [0.4] * 5 + [0.5] * 195
    low, high = paired_change(before, after).interval
    assert low < -0.015 and high > 0.015


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30),
    st.sampled_from([0.5, 0.8]),
)
def test_it_holds_the_mean_stays_within_its_ends_and_widens_with_the_level(rows, level: float):
    before, after = zip(*rows, strict=True)
    mean, (low, high) = paired_change(before, after, level)
    wide = paired_change(before, after).interval
    assert -1 <= wide.low <= low + 1e-9 and low <= mean + 1e-9
    assert mean <= high + 1e-9 and high <= wide.high + 1e-9 and wide.high <= 1


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20))
def test_of_the_opposite_change_it_is_the_opposite_interval(gaps: list[float]):
    low, high = score_interval(gaps, -1, 1, 0.95)
    assert score_interval([-gap for gap in gaps], -1, 1, 0.95) == pytest.approx((-high, -low))


@pytest.mark.parametrize(
    ("n", "loss", "gain"),
    [(200, 0.005, 0), (200, 0.02, 0), (100, 0.055, 0), (200, 0.02, 0.01), (60, 0.1, 0.1)],
)
def test_it_covers_the_true_change_in_92_of_100_kept_sets_or_more(n: int, loss: float, gain: float):
    """Exact: the chance of every pair of counts, where it is above one in a million."""
    told = missed = 0.0
    for lost in range(n + 1):
        first = binom.pmf(lost, n, loss)
        for gained in range(n - lost + 1) if first > 1e-6 else ():
            chance = first * binom.pmf(gained, n - lost, gain / (1 - loss))
            if chance > 1e-6:
                low, high = interval_of(lost, gained, n)
                told += chance
                missed += chance * (not low <= gain - loss <= high)
    assert told > 0.999 and missed < 0.08


@pytest.mark.parametrize(("n", "share"), [(200, 0.02), (200, 0.5), (60, 0.2)])
def test_of_graded_scores_it_covers_the_true_change(n: int, share: float):
    """A share of rows falls to an unrelated score, seven in ten of them to 0."""
    generator = np.random.default_rng(0)

    def rows(size: int) -> tuple[list[float], list[float]]:
        before = generator.beta(0.6, 0.4, size)
        other = np.where(generator.random(size) < 0.7, 0, generator.random(size))
        after = np.where(generator.random(size) < share, other, before)
        return before.tolist(), after.tolist()

    true = share * (0.3 * 0.5 - 0.6)
    held = [low <= true <= high for low, high in (paired_change(*rows(n))[1] for _ in range(400))]
    assert sum(held) / 400 > 0.925  # 95 % less two standard errors of 400 draws


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ([1], [1, 0], "rows do not pair up: 1 and 2"),
        ([], [], "at least one row"),
        ([1], [1.5], "between 0 and 1, got 1.5"),
        ([float("nan")], [1], "between 0 and 1, got nan"),
    ],
)
def test_rows_that_are_no_pairs_of_scores_are_refused(before, after, says: str):
    with pytest.raises(InputError, match=says):
        paired_change(before, after)


@pytest.mark.parametrize(
    ("drop", "discordant", "rows"),
    [(0.02, 0.03, 462), (0.02, 0.12, 1853), (0.05, None, 122), (0.05, 0.12, 295)],
)
def test_a_drop_is_seen_at_the_numbers_of_rows_that_the_design_names(drop, discordant, rows):
    """From one side at 5 %, which is an interval of 90 %."""
    assert rows_needed(drop, 0.8, discordant, level=0.9) == rows
    assert power_of(rows, drop, discordant, level=0.9) == pytest.approx(0.8, abs=0.002)


@pytest.mark.parametrize(("n", "drop", "changing"), [(400, 0.05, 0.08), (1500, 0.02, 0.06)])
def test_the_power_is_the_share_of_kept_sets_whose_interval_lies_below_0(n, drop, changing):
    generator = np.random.default_rng(1)
    loss, gain = (changing + drop) / 2, (changing - drop) / 2
    drawn = generator.multinomial(n, [loss, gain, 1 - changing], size=300)
    seen = [interval_of(int(lost), int(gained), n).high < 0 for lost, gained, _ in drawn]
    assert power_of(n, drop, changing) == pytest.approx(sum(seen) / 300, abs=0.06)


def test_power_at_the_edges():
    assert power_of(0, 0.02) < 0.05 and power_of(10**6, 0.02) > 0.999
    assert power_of(0, 1.0) == 0 and power_of(1, 1.0) == 1
    assert power_of(200, 0.02, 0.001) == power_of(200, 0.02)  # fewer cannot drop by so much
    assert rows_needed(1.0) == 4  # as many losses as it takes for an interval below 0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: power_of(-1, 0.02), "rows must be at least 0, got -1"),
        (lambda: power_of(5, 0.0), "a drop must lie above 0 and be at most 1, got 0.0"),
        (lambda: rows_needed(0.02, 1.0), "a power must lie between 0 and 1, got 1.0"),
        (lambda: rows_needed(0.02, discordant=2), "must be 0 to 1, got 2"),
    ],
)
def test_impossible_plans_are_refused(call, says: str):
    with pytest.raises(InputError, match=says):
        call()
