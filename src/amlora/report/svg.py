"""Matplotlib figures as inline SVG: the same figure gives the same bytes, in the page's colours.

A figure is drawn in stand-in colours that this file replaces by the page's CSS variables, so that
one drawing serves light and dark. Text stays text, without a font of its own, and takes the page's.
"""

import io
import warnings
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from amlora.printable import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
SERIES = 8
SMALLEST, LARGEST = 0.95, 1.4  # CSS pixels per point: labels stay legible, and below the text
STAND_INS = {
    "#010100": "--soft",
    "#010101": "--line",
    "#010102": "--heat",
    "#010103": "--paper",
    **{f"#0102{index:02x}": f"--series-{index}" for index in range(SERIES)},
}
SOFT, LINE, HEAT, PAPER = list(STAND_INS)[:4]


def series(index: int) -> str:
    """Stand-in for the colour of the index-th run."""
    return f"#0102{index % SERIES:02x}"


def plain(text: str) -> str:
    """Return a label that comes from a task's name as one line of what XML can hold."""
    return one_line(text)


def render(figure: "Figure", salt: str, label: str) -> str:
    """Return a figure as an <svg> element.

    Args:
        figure: drawn with `SOFT`, `LINE`, `HEAT`, `PAPER` and `series(...)` as its only colours.
        salt: differs between the figures of one page, so that no two share an id.
        label: what the figure shows, for those who cannot see it.
    """
    import matplotlib

    for artist in figure.findobj():
        artist.set_clip_on(False)  # marks at the edges stay whole
    buffer = io.BytesIO()
    settings: Any = {"svg.hashsalt": salt, "svg.fonttype": "none"}
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # Layout alone uses matplotlib's font; the reader's browser has the glyph.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    root = ElementTree.fromstring(buffer.getvalue())
    used = {link[1:] for element in root.iter() if (link := element.get(LINK))}
    for element in list(root.iter()):
        tidy(element, used)
    box = root.attrib["viewBox"]
    width = float(box.split()[2])
    root.attrib = {
        "viewBox": box,
        "role": "img",
        "aria-label": plain(label),
        "style": f"min-width: {SMALLEST * width:.0f}px; max-width: {LARGEST * width:.0f}px",
    }
    ElementTree.register_namespace("", SVG[1:-1])
    ElementTree.register_namespace("xlink", LINK[1 : LINK.index("}")])
    return recolour(ElementTree.tostring(root, encoding="unicode"))


def tidy(element: ElementTree.Element, used: set[str]) -> None:
    """Drop ids that nothing refers to, matplotlib's style sheet, fonts, and white space."""
    if element.get("id") not in used:
        element.attrib.pop("id", None)
    if element.tag == SVG + "text":
        kept = [
            part
            for part in element.get("style", "").split("; ")
            if not part.startswith(("font-family", "fill"))
        ]
        element.set("style", "; ".join(kept))
    else:
        element.text = None
    element.tail = None
    if path := element.get("d"):
        element.set("d", " ".join(path.split()))
    for child in list(element):
        if child.tag == SVG + "style" or (child.tag == SVG + "path" and invisible(child)):
            element.remove(child)


def invisible(path: ElementTree.Element) -> bool:
    """Whether a path is neither filled nor stroked: the frames of figure and axes."""
    return path.get("style") == "fill: none"


def recolour(svg: str) -> str:
    """Put the page's colours in the place of the stand-ins."""
    for colour, variable in STAND_INS.items():
        svg = svg.replace(f": {colour}", f": var({variable})")
    return svg
