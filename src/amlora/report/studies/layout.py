"""Studies on one sheet, for a file of its own: SVG, PNG or PDF in real colours on white.

A study is a block: heading, legend, panels in rows; blocks stand below one another. All places are
in inches from the sheet's upper left corner, so that equal studies give equal bytes.
"""

import io
import textwrap
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree

from amlora.report import svg
from amlora.report.studies.study import LIGHT, PAGE, SAMPLE, Key, Palette, Panel, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["svg", "png", "pdf"]
EDGE, GAP = 0.25, 0.3  # inches around the sheet, and between blocks
TITLE, TEXT, NAME = 12, 9, 10  # points: a study's title, what is below it, a panel's title
LINE = 0.19  # inches from one line of text to the next
LETTER = 0.07  # inches, a letter of TEXT points, generously
BOLD = 0.1  # inches, a bold letter of TITLE points
LEAST = 6.0  # inches of a sheet's width inside its edges
PIXELS = 96 / 72  # CSS pixels in a point
FONT = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


def drawing(studies: Sequence[Study], kind: Kind) -> bytes:
    """Return a file with studies below one another."""
    if kind == "svg":
        label = "; ".join(f"{study.title}: {study.heading}" for study in studies)
        return alone(svg.render(figure_of(studies, PAGE), "sheet", label)).encode()
    figure = figure_of(studies, LIGHT)
    figure.set_facecolor(LIGHT.paper)
    buffer = io.BytesIO()
    # Without the version and the time of writing, equal drawings are equal bytes.
    nothing = {"png": ("Software",), "pdf": ("CreationDate", "Creator", "Producer")}[kind]
    import matplotlib

    with matplotlib.rc_context({"pdf.fonttype": 42}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format=kind, dpi=200, metadata=dict.fromkeys(nothing))
    return buffer.getvalue()


def figure_of(studies: Sequence[Study], palette: Palette) -> "Figure":
    """Paint studies on one figure, in a palette."""
    from matplotlib.figure import Figure

    inside = max([LEAST, *(width_of(row) for study in studies for row in rows(study))])
    heights = [height_of(study, inside) for study in studies]
    width = inside + 2 * EDGE
    height = sum(heights) + GAP * (len(heights) - 1) + 2 * EDGE
    figure = Figure(figsize=(width, height))
    top = EDGE
    for study, high in zip(studies, heights, strict=True):
        paint(figure, study, palette, top, inside)
        top += high + GAP
    return figure


def rows(study: Study) -> list[Sequence[Panel]]:
    """Split a study's panels into the rows of a sheet."""
    count = study.columns
    return [study.panels[at : at + count] for at in range(0, len(study.panels), count)]


def width_of(row: Sequence[Panel]) -> float:
    """Return the width of a row of panels, inches."""
    return sum(panel.width for panel in row)


def words(study: Study, inside: float) -> list[str]:
    """Return the lines below a study's title, broken to fit."""
    notes = [note for note in study.notes if note not in study.table_only]
    told = [f"{study.heading} ({study.about})", *notes]
    return [line for text in told for line in textwrap.wrap(text, int(inside / LETTER))]


def legend_rows(study: Study, inside: float) -> list[list[tuple[Key, float]]]:
    """Return the legend's entries in rows, each with its distance from the left, inches."""
    found: list[list[tuple[Key, float]]] = []
    left = inside  # so that the first entry begins a row
    for key in study.legend:
        width = SAMPLE[0] + 0.1 + LETTER * len(key.label) + 0.25
        if left + width > inside:
            found.append([])
            left = 0.0
        found[-1].append((key, left))
        left += width
    return found


def title_lines(study: Study, inside: float) -> list[str]:
    """Return the title, broken to fit."""
    return textwrap.wrap(study.title, int(inside / BOLD))


def height_of(study: Study, inside: float) -> float:
    """Return the height of a study's block, inches."""
    lines = len(words(study, inside)) + len(legend_rows(study, inside))
    panels = sum(LINE * 1.4 + max(panel.height for panel in row) for row in rows(study))
    return 0.26 * len(title_lines(study, inside)) + LINE * lines + 0.2 + panels


def paint(figure: "Figure", study: Study, palette: Palette, top: float, inside: float) -> None:
    """Paint one study's block, from `top` inches below the sheet's upper edge on."""
    width, height = figure.get_size_inches()

    def write(
        text: str, left: float, below: float, size: int, colour: str, weight: str = "normal"
    ) -> None:
        figure.text(
            left / width,
            1 - below / height,
            svg.plain(text),
            fontsize=size,
            color=colour,
            fontweight=weight,
            parse_math=False,
        )

    def place(left: float, above: float, wide: float, high: float) -> "Axes":
        return figure.add_axes(
            (left / width, 1 - (above + high) / height, wide / width, high / height)
        )

    for line in title_lines(study, inside):
        top += 0.26
        write(line, EDGE, top - 0.08, TITLE, palette.ink, "bold")
    for line in words(study, inside):
        top += LINE
        write(line, EDGE, top - 0.05, TEXT, palette.soft)
    for entries in legend_rows(study, inside):
        top += LINE
        for key, left in entries:
            axes = place(EDGE + left, top - SAMPLE[1], *SAMPLE)
            key.paint(axes, palette)
            write(key.label, EDGE + left + SAMPLE[0] + 0.1, top - 0.04, TEXT, palette.soft)
    top += 0.2
    for row in rows(study):
        left = EDGE
        top += LINE * 1.4
        for panel in row:
            write(panel.title, left + panel.left, top - 0.06, NAME, palette.ink)
            axes = place(left + panel.left, top + panel.above, panel.wide, panel.high)
            panel.paint(axes, palette)
            left += panel.width
        top += max(panel.height for panel in row)


def alone(element: str) -> str:
    """Return an <svg> element of the page as a file: its own size, colours, font and background."""
    root = ElementTree.fromstring(element)
    _, _, width, height = root.attrib["viewBox"].split()
    del root.attrib["style"]
    root.attrib |= {
        "width": f"{float(width) * PIXELS:.0f}",
        "height": f"{float(height) * PIXELS:.0f}",
        "font-family": FONT,
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    for text in root.iter(svg.SVG + "text"):
        text.set("fill", LIGHT.ink if "font-weight" in text.get("style", "") else LIGHT.soft)
    background = ElementTree.Element(
        svg.SVG + "rect", {"width": "100%", "height": "100%", "fill": LIGHT.paper}
    )
    root.insert(0, background)
    ElementTree.register_namespace("", svg.SVG[1:-1])
    ElementTree.register_namespace("xlink", svg.LINK[1 : svg.LINK.index("}")])
    text = ElementTree.tostring(root, encoding="unicode")
    colours = {"soft": LIGHT.soft, "line": LIGHT.line, "heat": LIGHT.heat, "paper": LIGHT.paper}
    colours |= {f"series-{index}": colour for index, colour in enumerate(LIGHT.series)}
    for name, colour in colours.items():
        text = text.replace(f"var(--{name})", colour)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'
