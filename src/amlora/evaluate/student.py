"""The upper tail of Student's t distribution, in closed form for whole degrees of freedom.

Abramowitz & Stegun 1964, equations 26.7.3 and 26.7.4. It needs no further package.
"""

import math

RARE = 1e-9
"""The smallest chance for which the closed form is exact to six digits."""
FAR = 1e12  # beyond every quantile that is asked for


def upper_tail(t: float, df: int) -> float:
    """Return the chance that Student's t with `df` degrees of freedom, at least 1, exceeds t."""
    angle = math.atan2(t, math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = df % 2
    term, total = cosine if odd else 1.0, 0.0
    for k in range(2 if odd else 1, df, 2):
        total += term
        term *= cosine * cosine * k / (k + 1)
    inside = (angle + sine * total) * 2 / math.pi if odd else sine * total
    return (1 - inside) / 2


def upper_quantile(chance: float, df: int) -> float:
    """Return what Student's t exceeds with a chance between RARE and 1/2; by bisection."""
    low, high = 0.0, 1.0
    while upper_tail(high, df) > chance and high < FAR:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if upper_tail(middle, df) > chance else (low, middle)
    return high
