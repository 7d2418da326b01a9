"""Points with intervals: what the drawings of figure 5 and of the sweep have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amlora.report.intervals import OVER
from amlora.report.paper_lines import Cell
from amlora.report.studies.axes import bar_key
from amlora.report.studies.study import Key, Value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHES = {"seeds": "-", "rows": (0, (2, 1)), "": "-"}
"""Of a bar, by what its interval is over."""
KEYS = {"seeds": "95 % interval over seeds", "rows": "95 % interval over one run's test rows"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A value and the ends of its bar, which are the value where there is none."""

    value: float
    low: float
    high: float
    dashes: object = "-"


def cell_values(name: str, cell: Cell | None) -> dict[str, Value]:
    """Return a cell in full precision, as fractions."""
    interval = cell.interval if cell else None
    return {
        name: cell.value / 100 if cell else None,
        f"{name}_low": interval.low / 100 if interval else None,
        f"{name}_high": interval.high / 100 if interval else None,
        f"{name}_interval": cell.over if cell else None,
    }


def brackets(cells: Sequence[Cell | None]) -> list[str]:
    """Say what the brackets behind numbers mean, as far as there are any."""
    kinds = {cell.over for cell in cells if cell}
    return [meaning for kind, meaning in OVER.items() if kind in kinds]


def without_interval(cells: Sequence[Cell | None]) -> list[str]:
    """Say what has no interval."""
    if any(cell and cell.over == "rows" for cell in cells):
        return ["Forgetting of a single run has no interval."]
    return []


def rate_text(rate: float | None) -> str:
    """Show a learning rate."""
    return "" if rate is None else f"{rate:g}"


def repeated(count: int) -> list[str]:
    """Say how many runs were left out for being there under another name."""
    if not count:
        return []
    return [f"Left out: runs that repeat settings and seed under another name: {count}."]


def bar(cell: Cell) -> Bar:
    """Return a cell's value with its interval."""
    low, high = cell.interval or (cell.value, cell.value)
    return Bar(cell.value, low, high, DASHES[cell.over])


def keys(cells: Sequence[Cell | None]) -> list[Key]:
    """Return the legend's entries of the kinds of intervals that there are."""
    kinds = {cell.over for cell in cells if cell}
    return [bar_key(label, DASHES[kind]) for kind, label in KEYS.items() if kind in kinds]


def limits(found: Sequence[Bar]) -> tuple[float, float]:
    """Return limits of an axis that hold all bars, with some room, at least two points apart."""
    low = min((one.low for one in found), default=0.0)
    high = max((one.high for one in found), default=100.0)
    room = max(0.06 * (high - low), 1.0)
    return low - room, high + room


def few_ticks(axes: "Axes", which: str) -> None:
    """Put a few round numbers on an axis."""
    from matplotlib.ticker import MaxNLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
