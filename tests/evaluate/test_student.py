"""Student's t tail in closed form, against scipy."""

import pytest
from scipy import stats

from amlora.evaluate.student import RARE, upper_quantile, upper_tail

DEGREES = [1, 2, 3, 4, 7, 15, 30]


@pytest.mark.parametrize("df", DEGREES)
@pytest.mark.parametrize("t", [-3.0, 0.0, 0.5, 2.0, 8.0])
def test_the_tail_is_scipys(t, df):
    assert upper_tail(t, df) == pytest.approx(stats.t.sf(t, df), rel=1e-8)


@pytest.mark.parametrize("df", DEGREES)
@pytest.mark.parametrize("chance", [RARE, 1e-5, 0.01, 0.4])
def test_the_quantile_is_scipys(chance, df):
    assert upper_quantile(chance, df) == pytest.approx(stats.t.isf(chance, df), rel=1e-6)
