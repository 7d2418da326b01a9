"""Which rows change places at a border, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amlora.errors import InputError
from amlora.streams.arrival import Piece, pieces

NAMES = ("a", "b", "c")


def test_without_a_border_every_stage_has_its_own_rows():
    assert pieces(NAMES, [4, 5, 6], 0.0) == [
        [Piece(0, 0, 4)],
        [Piece(1, 0, 5)],
        [Piece(2, 0, 6)],
    ]


def test_the_first_rows_go_to_the_stage_before_and_the_last_to_the_stage_after():
    """A fifth of 10, 20 and 5 rows: 2, 4 and 1."""
    assert pieces(NAMES, [10, 20, 5], 0.2) == [
        [Piece(0, 0, 8), Piece(1, 0, 4)],
        [Piece(0, 8, 10), Piece(1, 4, 16), Piece(2, 0, 1)],
        [Piece(1, 16, 20), Piece(2, 1, 5)],
    ]


def test_a_share_is_rounded_down_but_not_below_what_it_is():
    given_away = [stages[1][0] for stages in (pieces("ab", [100, 7], 0.29),)]
    assert given_away == [Piece(0, 71, 100)]
    assert pieces("ab", [3, 3], 0.3) == pieces("ab", [3, 3], 0.0)


def test_half_of_the_rows_is_allowed_where_a_task_has_one_neighbour():
    assert pieces("ab", [4, 6], 0.5) == [
        [Piece(0, 0, 2), Piece(1, 0, 3)],
        [Piece(0, 2, 4), Piece(1, 3, 6)],
    ]


def test_a_stage_without_a_row_of_its_own_is_refused():
    with pytest.raises(InputError, match=r"stream.border: 0.5 leaves task 'b' none of its 6 rows"):
        pieces(NAMES, [4, 6, 4], 0.5)
    assert pieces(NAMES, [4, 7, 4], 0.5)[1][1] == Piece(1, 3, 4)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.floats(0, 0.49))
def test_every_row_is_learned_once_and_no_further_than_one_stage_away(counts, border):
    names = [str(index) for index in range(len(counts))]
    learned: list[tuple[int, int]] = []
    for stage, found in enumerate(pieces(names, counts, border)):
        assert all(abs(piece.task - stage) <= 1 for piece in found)
        assert stage in {piece.task for piece in found}
        learned += [(piece.task, i) for piece in found for i in range(piece.start, piece.stop)]
    assert sorted(learned) == [(k, i) for k, count in enumerate(counts) for i in range(count)]
