"""Numbers as people read them."""

import pytest

from amlora.report import format
from amlora.report.format import MINUS, MISSING


@pytest.mark.parametrize(
    ("value", "text"), [(0.7837, "78.4"), (1.0, "100.0"), (0.0, "0.0"), (None, MISSING)]
)
def test_per_cent(value: float | None, text: str) -> None:
    assert format.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(-0.012, f"{MINUS}1.2"), (0.05, "+5.0"), (-0.0001, "0.0"), (None, MISSING)]
)
def test_points_are_signed_unless_they_round_to_nothing(value: float | None, text: str) -> None:
    assert format.points(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (512, "512"),
        (737_280, "737 k"),
        (999_900, "1 M"),
        (134_515_008, "135 M"),
        (7e9, "7 G"),
    ],
)
def test_counts_are_short(value: float, text: str) -> None:
    assert format.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.54, "2.5 s"), (59.96, "1 min 0 s"), (409, "6 min 49 s"), (3725, "1 h 2 min")],
)
def test_durations_have_two_units(value: float, text: str) -> None:
    assert format.seconds(value) == text


def test_memory_is_in_binary_units() -> None:
    assert format.size(3 * 2**30) == "3.0 GiB"
    assert format.size(300 * 2**20) == "300 MiB"
