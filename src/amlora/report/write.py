"""Tables as text, Markdown, LaTeX, HTML, CSV and JSON: equal tables, equal bytes.

The one place where what comes from data meets an output: whatever a run was called, a cell cannot
end its row, act on a terminal, or be taken for markup, a command or a formula.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from amlora.printable import aligned, json_text, markdown_safe, one_line, printable
from amlora.report.format import MINUS

if TYPE_CHECKING:
    from pandas import DataFrame

Format = Literal["text", "markdown", "latex", "csv", "json", "html"]
LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    # A row that begins with one of these would be read as an argument of the row before.
    **{letter: f"{{{letter}}}" for letter in "[*"},
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    MINUS: "$-$",
    "\N{EN DASH}": "--",
    "\N{DAGGER}": r"$^\dagger$",
    "\N{DOUBLE DAGGER}": r"$^\ddagger$",
}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table, ready to be written."""

    title: str
    values: "DataFrame | None"
    """In full precision, for CSV and JSON; None where another table's values hold them."""
    shown: "DataFrame"
    """As a reader sees it: text alone."""
    words: Sequence[str]
    """The columns of `shown` that hold words, set to the left; numbers stand to the right."""
    about: Sequence[str] = ()
    """Lines above the table."""
    notes: Sequence[str] = ()
    """Of this table alone."""
    legend: Sequence[str] = ()
    """What its words and marks mean; said once for all tables."""


def write(sheets: Sequence[Sheet], form: Format, notes: Sequence[str] = ()) -> str:
    """Write tables in a format, ending in a newline.

    Args:
        sheets: one or more.
        form: the format; "html" is a fragment for a page.
        notes: lines at the end, such as what was left out; CSV has none.
    """
    said = list(dict.fromkeys([*(line for sheet in sheets for line in sheet.legend), *notes]))
    if form == "json":
        tables = [plain_sheet(sheet) for sheet in sheets if sheet.values is not None]
        return f"{json_text({'tables': tables, 'notes': said})}\n"
    if form == "csv":
        return comma_separated([sheet.values for sheet in sheets if sheet.values is not None])
    ways = {"text": text, "markdown": markdown, "latex": latex, "html": html}
    listed = {
        "text": lambda: [one_line(line) for line in said],
        "markdown": lambda: [f"- {markdown_safe(line)}" for line in said],
        "latex": lambda: [f"{latex_safe(line)}\\par" for line in said],
        "html": lambda: [f"<p>{html_safe(line)}</p>" for line in said],
    }
    parts = [*map(ways[form], sheets), "\n".join(listed[form]())]
    return "\n\n".join(part for part in parts if part) + "\n"


def text(sheet: Sheet) -> str:
    """Aligned columns."""
    numbers = [at for at, name in enumerate(sheet.shown) if name not in sheet.words]
    lines = aligned(rows_of(sheet), right=numbers).split("\n")
    above = [sheet.title, *sheet.about]
    below = ["", *sheet.notes] if sheet.notes else []
    return "\n".join([*map(one_line, above), "", *lines, *map(one_line, below)])


def markdown(sheet: Sheet) -> str:
    """A table for a page."""
    heading, *rows = ([markdown_safe(cell) for cell in row] for row in rows_of(sheet))
    rule = ["---" if name in sheet.words else "---:" for name in sheet.shown]
    table = "\n".join(f"| {' | '.join(row)} |" for row in (heading, rule, *rows))
    title = f"**{markdown_safe(sheet.title)}**"
    notes = "\n".join(f"- {markdown_safe(note)}" for note in sheet.notes)
    parts = [title, *map(markdown_safe, sheet.about), table, notes]
    return "\n\n".join(part for part in parts if part)


def latex(sheet: Sheet) -> str:
    """A plain tabular environment, which needs no package; notes follow as text."""
    lines = [" & ".join(map(latex_safe, row)) + r" \\" for row in rows_of(sheet)]
    lines.insert(1, r"\hline")
    kinds = "".join("l" if name in sheet.words else "r" for name in sheet.shown)
    return "\n".join(
        [
            *(f"{latex_safe(line)}\\par" for line in (sheet.title, *sheet.about)),
            rf"\begin{{tabular}}{{{kinds}}}",
            *lines,
            r"\end{tabular}\par",
            *(f"{latex_safe(note)}\\par" for note in sheet.notes),
        ]
    )


def html(sheet: Sheet) -> str:
    """A section without style or script; cells of words have the class "words"."""
    kinds = [' class="words"' if name in sheet.words else "" for name in sheet.shown]
    heading, *rows = (list(map(html_safe, row)) for row in rows_of(sheet))
    heads = "".join(
        f'<th scope="col"{kind}>{cell}</th>' for kind, cell in zip(kinds, heading, strict=True)
    )
    lines = ["<section>", f"<h2>{html_safe(sheet.title)}</h2>"]
    lines += [f"<p>{html_safe(line)}</p>" for line in sheet.about]
    lines += ["<table>", f"<thead><tr>{heads}</tr></thead>", "<tbody>"]
    for name, *row in rows:
        cells = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], row, strict=True))
        lines.append(f'<tr><th scope="row" class="words">{name}</th>{cells}</tr>')
    lines += ["</tbody>", "</table>", *(f"<p>{html_safe(note)}</p>" for note in sheet.notes)]
    return "\n".join([*lines, "</section>"])


def rows_of(sheet: Sheet) -> list[list[str]]:
    """Return the headings and rows of a table as a reader sees it."""
    return [[*sheet.shown], *sheet.shown.to_numpy().tolist()]


def latex_safe(value: str) -> str:
    """Return a text as one line in which nothing is LaTeX's own."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(value))


def html_safe(value: str) -> str:
    """Return a text in which nothing is HTML and nothing acts."""
    return escape(printable(value))


def csv_safe(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula; numbers stay what they are."""
    if isinstance(value, list | tuple):
        joined = " ".join(map(str, value))
        if not any(isinstance(item, str) for item in value):
            return joined  # of numbers, the first of which may be negative
        value = joined
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if value.startswith(FORMULA) else shown


def comma_separated(frames: "Sequence[DataFrame]") -> str:
    """Rows of all frames: full precision, empty where missing, lists with blanks."""
    from pandas import DataFrame

    rows = [row for frame in frames for row in plain(frame)]
    columns = dict.fromkeys(name for frame in frames for name in frame)
    safe = [{csv_safe(name): csv_safe(value) for name, value in row.items()} for row in rows]
    table = DataFrame(safe, columns=[csv_safe(name) for name in columns], dtype=object)
    return table.to_csv(index=False, lineterminator="\n")


def plain_sheet(sheet: Sheet) -> dict[str, Any]:
    """Return a table as plain values."""
    assert sheet.values is not None
    told = {"title": sheet.title, "about": list(sheet.about), "notes": list(sheet.notes)}
    return {**told, "rows": plain(sheet.values)}


def plain(frame: "DataFrame") -> list[dict[str, Any]]:
    """Return a frame's rows as plain values, None where one is missing."""
    known = frame.notna()
    return frame.astype(object).where(known, None).to_dict("records")
