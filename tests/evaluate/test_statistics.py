"""Intervals and tests against known values, their limits, and their refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binomtest

from amlora.errors import InputError
from amlora.evaluate.statistics import (
    mean_sd,
    paired_bootstrap,
    seed_interval,
    sign_flip_test,
    upper_quantile,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (28, 56, 0.3733, 0.6267),
        (50, 100, 0.4038, 0.5962),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1),
    ],
)
def test_wilson_intervals_have_their_known_ends(hits: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_agrees_with_scipy() -> None:
    theirs = binomtest(41, 60).proportion_ci(0.9, "wilson")
    assert wilson_interval(41, 60, level=0.9) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize(("chance", "df", "t"), [(0.025, 1, 12.7062), (0.05, 4, 2.13185)])
def test_the_quantile_of_students_t_is_that_of_the_tables(chance, df, t) -> None:
    assert upper_quantile(chance, df) == pytest.approx(t, abs=1e-4)
    assert upper_quantile(1e-9, df) == pytest.approx(stats.t.isf(1e-9, df))


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_wilson_interval_holds_its_share_and_stays_within_0_and_1(pair: tuple[int, int]) -> None:
    hits, n = pair
    low, high = wilson_interval(hits, n)
    assert 0 <= low <= hits / n <= high <= 1


@pytest.mark.parametrize(
    ("hits", "n", "level"), [(1, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 2, 1)]
)
def test_impossible_counts_and_levels_are_refused(hits: int, n: int, level: float) -> None:
    with pytest.raises(InputError):
        wilson_interval(hits, n, level)


def test_mean_and_deviation_over_seeds() -> None:
    assert mean_sd([0.6, 0.7, 0.8]) == pytest.approx((0.7, 0.1))
    assert mean_sd([0.6]) == (0.6, None)


def test_three_seeds_have_a_half_width_of_two_and_a_half_deviations() -> None:
    found = seed_interval([0.6, 0.7, 0.8])
    assert found.n == 3
    assert found.interval == pytest.approx((0.7 - 0.24841, 0.7 + 0.24841), abs=1e-5)


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(InputError, match="at least 2 values, got 1"):
        seed_interval([0.6])


FIRST = [[1, 1, 0, 1, 1, 0, 1, 1, 1, 0], [1, 0, 1, 1]]
SECOND = [[1, 0, 0, 1, 0, 0, 1, 1, 0, 1], [0, 0, 1, 1]]


def test_a_bootstrapped_difference_weighs_tasks_equally() -> None:
    # Task 1: +3 -1 of 10 rows; task 2: +1 of 4.
    assert paired_bootstrap(FIRST, SECOND, seed=0).mean == pytest.approx((0.2 + 0.25) / 2)


def test_a_bootstrap_of_one_task_has_the_width_of_its_binomial() -> None:
    # Half of 400 pairs differ by one: the mean's deviation is sqrt(.25 / 400) = .025.
    first, second = [[1] * 200 + [0] * 200], [[0] * 400]
    low, high = paired_bootstrap(first, second, seed=0, draws=50_000).interval
    assert (low, high) == pytest.approx((0.5 - 0.049, 0.5 + 0.049), abs=0.003)


def test_pairing_removes_what_both_runs_share() -> None:
    rows = [[1, 0] * 50]
    assert paired_bootstrap(rows, rows, seed=0).interval == (0, 0)


def test_a_bootstrap_depends_on_its_seed_alone() -> None:
    first, second = [[n % 3 / 2 for n in range(90)]], [[n % 7 / 9 for n in range(90)]]
    found = paired_bootstrap(first, second, seed=3)
    assert found == paired_bootstrap(first, second, seed=3)
    assert found != paired_bootstrap(first, second, seed=4)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ([], [], "tasks do not pair up: 0 and 0"),
        ([[1]], [[1], [1]], "tasks do not pair up: 1 and 2"),
        ([[1], [1, 0]], [[1], [1]], "rows of task 1 do not pair up: 2 and 1"),
        ([[1], []], [[1], []], "rows of task 1 do not pair up: 0 and 0"),
    ],
)
def test_rows_that_do_not_pair_up_are_refused(first, second, says: str) -> None:
    with pytest.raises(InputError, match=says):
        paired_bootstrap(first, second, seed=0)


@pytest.mark.parametrize(("seeds", "smallest"), [(2, 0.5), (3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_a_win_on_every_seed_reaches_the_smallest_p(seeds: int, smallest: float) -> None:
    ours = [0.70 + seed / 1000 for seed in range(seeds)]
    found = sign_flip_test(ours, [0.60] * seeds)
    assert found.p == pytest.approx(smallest)
    assert found.smallest_p == smallest


def test_a_sign_flip_test_is_exact_on_a_case_worked_by_hand() -> None:
    # Differences .3 .2 -.1: |sum| >= .4 for 4 of the 8 sign patterns (+++ ++- and their mirrors).
    found = sign_flip_test([0.8, 0.7, 0.4], [0.5, 0.5, 0.5])
    assert found.mean == pytest.approx(0.4 / 3)
    assert found.p == pytest.approx(0.5)


def test_equal_results_have_p_1() -> None:
    assert sign_flip_test([0.5, 0.6, 0.7], [0.5, 0.6, 0.7]).p == 1


def test_many_pairs_are_flipped_at_random_by_the_seed() -> None:
    ours, theirs = [0.7, 0.6, 0.65] * 6, [0.6, 0.65, 0.6] * 6
    found = sign_flip_test(ours, theirs, seed=1)
    assert found.smallest_p == pytest.approx(2e-5)
    assert found == sign_flip_test(ours, theirs, seed=1)
    assert 0.001 < found.p < 0.1


def test_a_sign_flip_test_needs_two_pairs() -> None:
    with pytest.raises(InputError, match="at least 2 pairs of seeds, got 1 and 1"):
        sign_flip_test([0.5], [0.6])
