"""Errors of a caller's mistake: one line that can be read, and the nearest allowed name."""

import pickle

from amlora.errors import LONGEST, InputError, nearest


def test_a_value_without_end_is_cut_out_of_the_middle_of_its_error():
    error = InputError(f"tasks/01: unknown value {'x' * 10**6!r} - at $.combine.")
    assert len(str(error)) < LONGEST + 10
    assert str(error).startswith("tasks/01: unknown value 'xxx")
    assert str(error).endswith("xxx' - at $.combine.")


def test_an_error_survives_the_way_to_another_process():
    error = InputError("rank: -1, must be at least 1.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_nearest_name_is_suggested_if_one_is_near():
    assert nearest("rnk", ["alpha", "rank"]) == "; did you mean 'rank'?"
    assert nearest("zzz", ["alpha", "rank"]) == ""
