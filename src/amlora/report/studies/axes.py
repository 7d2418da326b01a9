"""How the axes of all figures look: no frame, a soft rule below, light lines behind."""

from typing import TYPE_CHECKING

from amlora.report.figures import DASHES, MARKS, bare
from amlora.report.studies.study import Key, Palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 1.6  # of a line, points
BAR = 1.2  # of a bar, points
MARK = 5.0  # points
LEVEL = (0, (1, 2))  # dashes of a level that is no measurement of its own


def plain_axes(axes: "Axes", palette: Palette, *, grid: str, below: str) -> None:
    """Set up axes; `grid` is the axis whose ticks have lines, `below` the name of the x axis."""
    bare(axes)
    axes.tick_params(labelcolor=palette.soft)
    axes.spines["bottom"].set_visible(True)
    axes.spines["bottom"].set_color(palette.soft)
    axes.grid(axis="x" if grid == "x" else "y", color=palette.line, lw=0.7)
    axes.set_xlabel(below, fontsize=10, color=palette.soft, labelpad=3)


def line_style(palette: Palette, place: int) -> tuple[str, object, str]:
    """Colour, dashes and mark of the place-th line; they repeat together only after 32 lines."""
    colours = palette.series
    return (
        colours[place % len(colours)],
        DASHES[place // len(colours) % len(DASHES)],
        MARKS[place % len(MARKS)],
    )


def line_key(place: int, label: str) -> Key:
    """Return the legend's entry of the place-th line."""

    def paint(axes: "Axes", palette: Palette) -> None:
        colour, dashes, mark = line_style(palette, place)
        axes.plot([0, 2], [0, 0], color=colour, ls=dashes, lw=WIDTH)
        axes.plot([1], [0], mark, color=colour, ms=MARK, mew=0)
        axes.set_xlim(0, 2)
        axes.set_axis_off()

    return Key(label=label, paint=paint)


def level_key(label: str) -> Key:
    """Return the legend's entry of a level."""

    def paint(axes: "Axes", palette: Palette) -> None:
        axes.plot([0, 2], [0, 0], color=palette.soft, ls=LEVEL, lw=WIDTH)
        axes.set_xlim(0, 2)
        axes.set_axis_off()

    return Key(label=label, paint=paint)


def level(axes: "Axes", palette: Palette, height: float, ends: tuple[float, float]) -> None:
    """Draw a level from end to end."""
    axes.plot(ends, [height, height], color=palette.soft, ls=LEVEL, lw=WIDTH)


def bar_key(label: str, dashes: object) -> Key:
    """Return the legend's entry of a bar of the first colour."""

    def paint(axes: "Axes", palette: Palette) -> None:
        axes.plot([0, 2], [0, 0], color=palette.series[0], ls=dashes, lw=BAR)
        axes.set_xlim(0, 2)
        axes.set_axis_off()

    return Key(label=label, paint=paint)


def per_cent_axis(axes: "Axes") -> None:
    """Make the y axis go from 0 to 100."""
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 25, 50, 75, 100], ["0", "", "50", "", "100"])


def number_ticks(axes: "Axes", first: int, last: int, most: int) -> None:
    """Number the x axis from first to last with at most `most` labels."""
    step = max(1, -(-(last - first + 1) // most))
    axes.set_xticks(range(first, last + 1, step))
