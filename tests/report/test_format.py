"""Numbers as people read them."""

import pytest

from amlora.report import format
from amlora.report.format import MINUS, MISSING

PERCENT = [(0.7837, "78.4"), (1.0, "100.0"), (0.0, "0.0"), (None, MISSING)]
POINTS = [(-0.012, f"{MINUS}1.2"), (0.05, "+5.0"), (-0.0001, "0.0"), (None, MISSING)]
COUNT = [(0, "0"), (512, "512"), (737_280, "737 k"), (999_900, "1 M"), (134_515_008, "135 M")]
SECONDS = [(2.54, "2.5 s"), (59.96, "1 min 0 s"), (409, "6 min 49 s"), (3725, "1 h 2 min")]
SIZE = [(3 * 2**30, "3.0 GiB"), (300 * 2**20, "300 MiB")]


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        *((format.percent, *each) for each in PERCENT),
        *((format.points, *each) for each in POINTS),
        *((format.count, *each) for each in (*COUNT, (7e9, "7 G"))),
        *((format.seconds, *each) for each in SECONDS),
        *((format.size, *each) for each in SIZE),
    ],
)
def test_numbers_are_short_and_signed_where_they_are_differences(show, value, text):
    assert show(value) == text
