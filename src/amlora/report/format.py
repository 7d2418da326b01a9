"""Numbers as people read them: per cent, points, counts, seconds, bytes."""

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def percent(value: float | None) -> str:
    """0.784 is "78.4"; None is a dash. The per cent sign stands in the heading."""
    return MISSING if value is None else f"{100 * value:.1f}"


def points(value: float | None) -> str:
    """A signed difference in percentage points: +0.012 is "+1.2", nothing is "0.0"."""
    if value is None:
        return MISSING
    rounded = round(100 * value, 1)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):.1f}"


def nats(value: float) -> str:
    """A loss per token: 3.21 is "3.210"."""
    return f"{value:.3f}"


def nats_change(value: float) -> str:
    """A signed difference of losses: 0.0304 is "+0.030", nothing is "0.000"."""
    rounded = round(value, 3)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):.3f}"


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
