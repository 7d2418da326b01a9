"""What every figure comes to: panels to paint, their legend, and the same numbers as a table.

A panel is painted in a palette: the stand-ins that `report.svg` turns into the page's colours, or
real colours for a file of its own. `layout` puts the panels of studies on one sheet.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amlora.report import svg
from amlora.report.studies.groups import Subject
from amlora.report.typeset import Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Value = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """The colours of a drawing, as matplotlib reads them."""

    ink: str
    soft: str
    line: str
    heat: str
    paper: str
    series: tuple[str, ...]


PAGE = Palette(
    ink=svg.SOFT,  # text has no colour of its own on the page
    soft=svg.SOFT,
    line=svg.LINE,
    heat=svg.HEAT,
    paper=svg.PAPER,
    series=tuple(svg.series(index) for index in range(svg.SERIES)),
)
LIGHT = Palette(  # as in the page's style, for light
    ink="#1b1e23",
    soft="#5b626c",
    line="#dfe2e6",
    heat="#0b4a8a",
    paper="#ffffff",
    series=(
        *("#0072b2", "#d55e00", "#00875f", "#b0559a", "#b37700", "#3f8fc4", "#5b626c", "#6b4fa0"),
    ),
)

Paint = Callable[["Axes", Palette], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One small drawing. Sizes in inches: of the axes, and of the room for labels around them."""

    title: str
    label: str
    """What it shows, for those who cannot see it."""
    wide: float
    high: float
    left: float
    right: float
    above: float
    below: float
    paint: Paint

    @property
    def width(self) -> float:
        """Of all, in inches."""
        return self.left + self.wide + self.right

    @property
    def height(self) -> float:
        """Of all, in inches."""
        return self.above + self.high + self.below


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One entry of a legend: what a sample, painted on axes of `SAMPLE` inches, stands for."""

    label: str
    paint: Paint


SAMPLE = (0.45, 0.16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One figure of one stream and base model."""

    title: str
    subject: Subject
    about: str
    """Which runs are in it."""
    panels: tuple[Panel, ...]
    columns: int
    """Panels side by side on a sheet."""
    legend: tuple[Key, ...]
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Every number that is drawn, as a reader sees it."""
    words: int
    """How many columns at the left are words; the rest are numbers."""
    values: tuple[Mapping[str, Value], ...]
    """The same numbers in full precision; accuracies and shares are fractions."""
    notes: tuple[str, ...]
    table_only: tuple[str, ...] = ()
    """Those of the notes that a drawing without the table does not need."""

    @property
    def heading(self) -> str:
        """Base model and tasks."""
        return f"{self.subject.model}: {', '.join(self.subject.tasks)}"


def panel_svg(panel: Panel, salt: str) -> str:
    """Return a panel as an <svg> element in the page's colours; see `report.svg.render`."""
    from matplotlib.figure import Figure

    width, height = panel.width, panel.height
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes(
        (panel.left / width, panel.below / height, panel.wide / width, panel.high / height)
    )
    panel.paint(axes, PAGE)
    return svg.render(figure, salt, panel.label)


def key_svg(key: Key, salt: str) -> str:
    """Return the sample of a legend's entry as an <svg> element in the page's colours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SAMPLE)
    key.paint(figure.add_axes((0.0, 0.0, 1.0, 1.0)), PAGE)
    return svg.render(figure, salt, f"Sign of {key.label}")


def rows_of(rows: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Freeze a table."""
    return tuple(tuple(row) for row in rows)


def as_sheet(study: Study) -> Sheet:
    """Return a study's table with what must be known to read it."""
    return Sheet(
        heading=study.title,
        columns=study.headings,
        rows=study.rows,
        remarks=(f"{study.heading} ({study.about}).", *study.notes),
    )


def plain_values(studies: Sequence[Study]) -> list[dict[str, Value]]:
    """Return all numbers of studies of one kind, each with its base model and tasks."""
    return [
        {"model": study.subject.model, "tasks": " ".join(study.subject.tasks), **values}
        for study in studies
        for values in study.values
    ]
