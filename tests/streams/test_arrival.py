"""Rows that change places at a border, all rows in sequence, and what found borders are worth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amlora.errors import InputError
from amlora.streams.arrival import (
    Arrival,
    Comparison,
    Piece,
    arrivals,
    compare,
    pieces,
    true_borders,
)

NAMES = ("a", "b", "c")
PIECES = {
    "sharp": ([4, 5, 6], 0.0, [[(0, 0, 4)], [(1, 0, 5)], [(2, 0, 6)]]),
    "a fifth: 2, 4 and 1 rows": (
        [10, 20, 5],
        0.2,
        [[(0, 0, 8), (1, 0, 4)], [(0, 8, 10), (1, 4, 16), (2, 0, 1)], [(1, 16, 20), (2, 1, 5)]],
    ),
    "half, with one neighbour": ([4, 6], 0.5, [[(0, 0, 2), (1, 0, 3)], [(0, 2, 4), (1, 3, 6)]]),
    "29 of 100, and 2 of 7": ([100, 7], 0.29, [[(0, 0, 71), (1, 0, 2)], [(0, 71, 100), (1, 2, 7)]]),
    "less than a row": ([3, 3], 0.3, [[(0, 0, 3)], [(1, 0, 3)]]),
    "one row of its own": (
        [4, 7, 4],
        0.5,
        [[(0, 0, 2), (1, 0, 3)], [(0, 2, 4), (1, 3, 4), (2, 0, 2)], [(1, 4, 7), (2, 2, 4)]],
    ),
}


@pytest.mark.parametrize("case", PIECES)
def test_first_rows_go_to_the_stage_before_and_last_ones_to_the_stage_after(case):
    counts, border, expected = PIECES[case]
    found = pieces(NAMES[: len(counts)], counts, border)
    assert found == [[Piece(*piece) for piece in stage] for stage in expected]


def test_a_stage_without_a_row_of_its_own_is_refused():
    with pytest.raises(InputError, match=r"stream.border: 0.5 leaves task 'b' none of its 6 rows"):
        pieces(NAMES, [4, 6, 4], 0.5)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.floats(0, 0.49))
def test_every_row_is_learned_once_and_no_further_than_one_stage_away(counts, border):
    names = [str(index) for index in range(len(counts))]
    learned: list[tuple[int, int]] = []
    for stage, found in enumerate(pieces(names, counts, border)):
        assert all(abs(piece.task - stage) <= 1 for piece in found)
        assert stage in {piece.task for piece in found}
        learned += [(piece.task, i) for piece in found for i in range(piece.start, piece.stop)]
    everything = [(k, i) for k, count in enumerate(counts) for i in range(count)]
    assert sorted(learned) == everything
    assert sorted(arrivals(names, counts, border, seed=3)) == everything


def test_sharp_borders_leave_each_tasks_rows_together_and_in_their_order():
    order = arrivals(NAMES, [2, 3, 1], 0.0, seed=0)
    assert order == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0)]
    assert true_borders(order) == [2, 5]


def test_rows_that_neighbours_exchange_are_mixed_between_their_others():
    """A fifth of 100, 50 and 10 rows: 20, 10 and 2."""
    order = arrivals(NAMES, [100, 50, 10], 0.2, seed=0)
    assert order[:80] == [Arrival(0, row) for row in range(80)]
    faded = order[80:110]
    exchanged = [Arrival(0, row) for row in range(80, 100)] + [Arrival(1, row) for row in range(10)]
    assert sorted(faded) == exchanged
    tasks = [at.task for at in faded]
    assert tasks != sorted(tasks) and tasks != sorted(tasks, reverse=True)
    assert order[110:140] == [Arrival(1, row) for row in range(10, 40)]
    assert order[152:] == [Arrival(2, row) for row in range(2, 10)]
    first = true_borders(order)
    assert 80 <= first[0] < 110 and order[first[0]].task == 1
    assert order != arrivals(NAMES, [100, 50, 10], 0.2, seed=1)


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
