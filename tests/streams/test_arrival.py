"""The sequence in which all tasks' rows arrive, and what found borders are worth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amlora.streams.arrival import Arrival, Comparison, arrivals, compare, true_borders

NAMES = ("a", "b", "c")


def test_sharp_borders_leave_each_tasks_rows_together_and_in_their_order():
    order = arrivals(NAMES, [2, 3, 1], 0.0, seed=0)
    assert order == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0)]
    assert true_borders(order) == [2, 5]


def test_rows_that_neighbours_exchange_are_mixed_between_their_others():
    """A fifth of 100, 50 and 10 rows: 20, 10 and 2."""
    order = arrivals(NAMES, [100, 50, 10], 0.2, seed=0)
    assert order[:80] == [Arrival(0, row) for row in range(80)]
    faded = order[80:110]
    assert sorted(faded) == [
        *(Arrival(0, row) for row in range(80, 100)),
        *(Arrival(1, row) for row in range(10)),
    ]
    tasks = [at.task for at in faded]
    assert tasks != sorted(tasks) and tasks != sorted(tasks, reverse=True)
    assert order[110:140] == [Arrival(1, row) for row in range(10, 40)]
    assert order[152:] == [Arrival(2, row) for row in range(2, 10)]
    first = true_borders(order)
    assert 80 <= first[0] < 110 and order[first[0]].task == 1
    assert order != arrivals(NAMES, [100, 50, 10], 0.2, seed=1)


@given(st.lists(st.integers(3, 40), min_size=1, max_size=5), st.sampled_from([0.0, 0.1, 0.3]))
def test_every_row_arrives_once(counts, border):
    names = [str(index) for index in range(len(counts))]
    order = arrivals(names, counts, border, seed=3)
    assert sorted(order) == [(k, i) for k, count in enumerate(counts) for i in range(count)]


@pytest.mark.parametrize(
    ("found", "delays", "false_alarms"),
    [
        ([17, 28], (7, 8), 0),
        ([], (None, None), 0),
        ([4, 17, 28], (7, 8), 1),  # before any border
        ([17, 18, 28], (7, 8), 1),  # one border twice
        ([10, 28], (None, 8), 1),  # the row before 10 is the first task's: it knew nothing
        ([20], (10, None), 0),  # seen at row 19, the last before the next task
        ([21], (None, 1), 0),
    ],
)
def test_the_first_border_behind_a_true_one_is_its(found, delays, false_alarms):
    assert compare(found, [10, 20]) == Comparison(delays, false_alarms)
