"""Numbers as people read them: per cent, points, counts, seconds, bytes."""

from collections.abc import Callable

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def percent(value: float | None) -> str:
    """0.784 is "78.4"; None is a dash. The per cent sign stands in the heading."""
    return MISSING if value is None else f"{100 * value:.1f}"


def points(value: float | None) -> str:
    """A signed difference in percentage points: +0.012 is "+1.2", nothing is "0.0"."""
    return MISSING if value is None else signed(100 * value, 1)


def unsigned(value: float | None) -> str:
    """Per cent or points with a sign below zero alone."""
    return points(value).removeprefix("+")


METRICS = {"forgetting": unsigned, "bwt": points, "fwt": points}
"""How metrics of a record are shown in points; the others are shares, in per cent."""


def metric(value: float | None, name: str) -> str:
    """Show a metric of a record."""
    return METRICS.get(name, percent)(value)


def nats(value: float) -> str:
    """A loss per token: 3.21 is "3.210"."""
    return f"{value:.3f}"


def nats_change(value: float) -> str:
    """A signed difference of losses: 0.0304 is "+0.030", nothing is "0.000"."""
    return signed(value, 3)


def signed(value: float, digits: int) -> str:
    """A number with its sign, unless it rounds to nothing."""
    rounded = round(value, digits)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):.{digits}f}"


def spread(
    mean: float | None,
    sd: float | None,
    show: Callable[[float], str] = percent,
    show_sd: Callable[[float], str] = percent,
) -> str:
    """A mean and its standard deviation: "71.5 ± 7.1"; empty, or alone, where one is missing."""
    if mean is None or mean != mean:
        return ""
    return show(mean) if sd is None or sd != sd else f"{show(mean)} ± {show_sd(sd)}"


def bracketed(low: float, high: float, over: str, show: Callable[[float], str]) -> str:
    """An interval in the brackets that tell what it is over: square for seeds, round for rows."""
    ends = f"{show(low)}, {show(high)}"
    return f"[{ends}]" if over == "seeds" else f"({ends})"


def count(value: float | None) -> str:
    """A count short enough for a table: 737,000 is "737 k", 1,250,000 is "1.25 M"."""
    if value is None:
        return MISSING
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        # Half a unit of the third figure: 999,600 is "1 M" and not "1000 k".
        if value >= size * 0.9995:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def seconds(value: float | None) -> str:
    """A duration in its two largest units: 3725 is "1 h 2 min"."""
    if value is None:
        return MISSING
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(value: int | None) -> str:
    """Bytes in binary units: 3221225472 is "3.0 GiB"."""
    if value is None:
        return MISSING
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"
