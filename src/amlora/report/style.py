"""How every drawing looks, in a file and on the page, and how it is written so that equal is equal.

One palette: a file has its colours for white, and on the page each of them becomes a CSS variable
with a second colour for dark. Lines differ in colour, mark and dashes, so they hold in grey print.
"""

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from amlora.printable import one_line
from amlora.report.write import Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Kind = Literal["svg", "png", "pdf"]
PALETTE: Mapping[str, tuple[str, str]] = {  # on white, on dark
    "ink": ("#1b1e23", "#e6e8eb"),
    "soft": ("#5b626c", "#9da5b0"),
    "line": ("#dfe2e6", "#30363d"),
    "heat": ("#0b4a8a", "#7cc0ff"),
    "paper": ("#ffffff", "#14171b"),
    "series-0": ("#0072b2", "#58b4e8"),
    "series-1": ("#d55e00", "#ff8c4a"),
    "series-2": ("#00875f", "#3fcf9f"),
    "series-3": ("#b0559a", "#e79ccb"),
    "series-4": ("#b37700", "#f0bd4f"),
    "series-5": ("#3f8fc4", "#a5d4f5"),
    "series-6": ("#6e7681", "#b3bbc5"),
    "series-7": ("#6b4fa0", "#b9a3e8"),
}
SERIES = 8
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
MARKS = ("o", "s", "^", "D", "v", "P", "X", "p")
LEVEL = (0, (1, 2))  # dashes of a level that is no measurement of its own
FONT = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
LETTER = 0.073  # inches, a letter of a note, generously
LINE = 0.19  # inches from one line of a note to the next
EDGE = 0.12  # inches, around a file
LEAST = 6.4  # inches, of a file's width
INK, SOFT, RULE, HEAT, PAPER = (PALETTE[name][0] for name in list(PALETTE)[:5])
LEVEL_LOOK: dict[str, Any] = {"color": SOFT, "linestyle": LEVEL}
STYLE = Path(__file__).with_name("amlora.mplstyle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One small drawing."""

    title: str
    label: str
    """What it shows, for those who cannot see it."""
    paint: Callable[["Axes"], None]
    size: tuple[float, float] = (3.2, 1.95)
    """Inches, wide and high, labels included."""


def line_look(place: int) -> dict[str, Any]:
    """Return how the place-th line looks; looks repeat only after 32 lines."""
    return {
        "color": PALETTE[f"series-{place % SERIES}"][0],
        "linestyle": DASHES[place // SERIES % len(DASHES)],
        "marker": MARKS[place % len(MARKS)],
    }


def panel_svg(panel: Panel, salt: str) -> str:
    """Return a panel without its title as an <svg> element of the page; see `inline`."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(fname=STYLE):
        figure = Figure(figsize=panel.size, layout="constrained")
        panel.paint(figure.subplots())
        return inline(figure, salt, panel.label)


def key_svg(label: str, look: Mapping[str, Any], salt: str) -> str:
    """Return the sample of a legend's entry as an <svg> element of the page."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(fname=STYLE):
        figure = Figure(figsize=(0.42, 0.15))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.plot([0, 1, 2], [0, 0, 0], markevery=[1], **look)
        axes.margins(0)
        return inline(figure, salt, f"Line of {label}")


def inline(figure: "Figure", salt: str, label: str) -> str:
    """Return a figure as an <svg> element: the page's colours and font, no id that it does not use.

    Args:
        figure: drawn in the colours of the palette.
        salt: differs between the drawings of one page, so that no two share an id.
        label: what the figure shows, for those who cannot see it.
    """
    text = written(figure, "svg", salt)
    width, height = re.findall(r'(?:width|height)="([\d.]+)pt"', text)[:2]
    wide, high = (round(float(inches) * 96 / 72) for inches in (width, height))
    body = text[text.index(">", text.index("<svg")) + 1 :].strip()
    body = re.sub(r"\s*<(defs)>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r' style="[^"]*"', lambda found: page_style(found[0]), body)
    body = re.sub(r"\s*\n\s*", " ", body)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{wide}" height="{high}" role="img"'
        f' aria-label="{escape(one_line(label))}" xmlns:xlink="http://www.w3.org/1999/xlink">{body}'
    )


def page_style(style: str) -> str:
    """Put the page's variables in the place of a drawing's colours, and leave the font to it."""
    style = re.sub(r"font-family: [^;\"]*(; )?", "", style)
    for name, (colour, _) in PALETTE.items():
        style = style.replace(f": {colour}", f": var(--{name})")
    return style


def written(figure: "Figure", kind: Kind, salt: str = "amlora") -> Any:
    """Return a figure as a file: equal figures are equal bytes (SVG: text), without a date."""
    import matplotlib

    for artist in figure.findobj():
        artist.set_clip_on(False)  # marks at the edges stay whole
    nothing = {
        "svg": ("Date", "Creator", "Format", "Type"),
        "png": ("Software",),
        "pdf": ("CreationDate", "Creator", "Producer"),
    }[kind]
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": salt}), warnings.catch_warnings():
        # A reader's viewer has the letters that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format=kind, dpi=200, metadata=dict.fromkeys(nothing))
    return buffer.getvalue().decode() if kind == "svg" else buffer.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One figure of one stream and base model: in a file title and legend, panels, and notes."""

    sheet: Sheet
    """Title, what it is about, every number that is drawn, and notes."""
    panels: tuple[Panel, ...]
    columns: int = 3
    """Panels side by side in a file."""
    legend: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """How each name's line looks, as matplotlib's Line2D takes it."""
    notes: tuple[str, ...] | None = None
    """Those of the sheet's notes that a drawing needs without its table; None: all."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of panels."""
        columns = min(self.columns, len(self.panels))
        return -(-len(self.panels) // columns), columns

    @property
    def width(self) -> float:
        """Inches that the panels take."""
        return max(panel.size[0] for panel in self.panels) * self.grid[1]

    def keys_a_row(self, width: float) -> int:
        """Return how many entries of the legend fit beside one another."""
        return max(1, int(width / (0.75 + LETTER * max(map(len, self.legend), default=0))))

    def lines(self, width: float) -> tuple[list[str], list[str]]:
        """Return the title, and what stands below the panels, broken to fit."""
        said = self.sheet.notes if self.notes is None else self.notes
        title = textwrap.wrap(one_line(self.sheet.title), int(width / 0.1))
        below = map(one_line, (*self.sheet.about, *said))
        most = int(width / LETTER) - 4
        return title, [line for text in below for line in textwrap.wrap(text, most)]

    def heights(self, width: float) -> tuple[float, float, float]:
        """Return the heights of the three parts, inches."""
        title, notes = map(len, self.lines(width))
        legend = -(-len(self.legend) // self.keys_a_row(width))
        panels = self.grid[0] * (max(panel.size[1] for panel in self.panels) + 0.3)
        return 0.3 + 0.22 * title + LINE * legend, panels, 0.2 + LINE * notes

    def paint(
        self, head: "SubFigure", middle: "SubFigure", foot: "SubFigure", width: float
    ) -> None:
        """Paint it on three parts of a figure."""
        from matplotlib.lines import Line2D

        left, high = EDGE / width, self.heights(width)[0]
        title, notes = map("\n".join, self.lines(width))
        head.text(left, 1 - EDGE / high, title, va="top", fontsize=12, fontweight="bold")
        if self.legend:
            head.legend(
                handles=[
                    Line2D([0], [0], label=one_line(label), **look)
                    for label, look in self.legend.items()
                ],
                loc="lower left",
                bbox_to_anchor=(left, 0),
                borderpad=0,
                borderaxespad=0,
                labelspacing=0.35,
                ncols=self.keys_a_row(width),
            )
        every = middle.subplots(*self.grid, squeeze=False).ravel()
        for axes, panel in zip(every, self.panels, strict=False):
            panel.paint(axes)
            axes.set_title(one_line(panel.title))
        for axes in every[len(self.panels) :]:
            axes.set_axis_off()
        foot.text(left, 1, notes, va="top", color=SOFT, linespacing=1.4)


def drawn(drawings: Sequence[Drawing], kind: Kind) -> bytes:
    """Return a file with drawings below one another."""
    import matplotlib
    from matplotlib.figure import Figure

    width = max(LEAST, *(each.width for each in drawings))
    heights = [height for each in drawings for height in each.heights(width)]
    with matplotlib.rc_context(fname=STYLE):
        figure = Figure(figsize=(width, sum(heights) + EDGE), layout="constrained")
        parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).ravel()
        for at, each in enumerate(drawings):
            each.paint(parts[3 * at], parts[3 * at + 1], parts[3 * at + 2], width)
        data = written(figure, kind)
    if kind != "svg":
        return data
    fonts = re.sub(r"font-family: [^;\"]*", f"font-family: {FONT}", data)
    label = "; ".join(f"{each.sheet.title}: {each.sheet.about[0]}" for each in drawings)
    named = f'<svg role="img" aria-label="{escape(one_line(label))}" '
    return fonts.replace("<svg ", named, 1).encode()
