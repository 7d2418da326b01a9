"""Rows of strings as text, Markdown and LaTeX, plain values as CSV and JSON: equal in, equal out.

What a cell holds cannot end it, whatever a run was called.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from amlora.printable import aligned, json_text, markdown_safe, one_line, printable
from amlora.report.format import MINUS

Format = Literal["text", "markdown", "csv", "json", "latex"]
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
    "\N{DAGGER}": r"$^\dagger$",
    "\N{DOUBLE DAGGER}": r"$^\ddagger$",
}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table as a reader sees it; the first cell of a row names it, and "" is an empty cell."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    remarks: Sequence[str]


def typeset(
    sheets: Sequence[Sheet], form: Literal["text", "markdown", "latex"], notes: Sequence[str]
) -> str:
    """Write sheets one below the other and notes at the end; the last line ends."""
    ways = {"text": text, "markdown": markdown, "latex": latex}
    safe = {"text": one_line, "markdown": markdown_safe, "latex": latex_note}[form]
    return "\n\n".join([*map(ways[form], sheets), *map(safe, notes)]) + "\n"


def text(sheet: Sheet) -> str:
    """Aligned columns; names to the left, all else to the right."""
    table = aligned([sheet.columns, *sheet.rows], right=range(1, 99))
    return "\n".join([one_line(sheet.heading), "", table, "", *map(one_line, sheet.remarks)])


def markdown(sheet: Sheet) -> str:
    """A table for a page."""
    body = markdown_table(sheet.columns, sheet.rows, names=1)
    listed = "\n".join(f"- {markdown_safe(remark)}" for remark in sheet.remarks)
    return f"**{markdown_safe(sheet.heading)}**\n\n{body}\n\n{listed}"


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, names: int) -> str:
    """Return rows as a table of Markdown, the first `names` columns to the left."""
    rule = ["---"] * names + ["---:"] * (len(columns) - names)
    kept = [[markdown_safe(cell) for cell in row] for row in (columns, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (kept[0], rule, *kept[1:]))


def latex(sheet: Sheet) -> str:
    """A plain tabular environment without any package; remarks follow as text."""
    lines = [" & ".join(map(latex_safe, row)) + r" \\" for row in (sheet.columns, *sheet.rows)]
    lines.insert(1, r"\hline")
    return "\n".join(
        [
            f"% {latex_safe(sheet.heading)}",
            rf"\begin{{tabular}}{{l{'r' * (len(sheet.columns) - 1)}}}",
            *lines,
            r"\end{tabular}",
            "",
            *map(latex_note, sheet.remarks),
        ]
    )


def latex_safe(value: str) -> str:
    """Return a text as one line in which nothing is LaTeX's own."""
    return "".join(LATEX.get(letter, letter) for letter in one_line(value))


def latex_note(value: str) -> str:
    """A paragraph."""
    return f"{latex_safe(value)}\\par"


def comma_separated(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as CSV: full precision, empty where missing, lists with blanks."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    for at, row in enumerate(rows):
        if not at:
            writer.writerow(map(csv_cell, row))
        writer.writerow(map(csv_cell, row.values()))
    return written.getvalue()


def csv_cell(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula; numbers stay what they are."""
    if isinstance(value, list):
        if all(isinstance(item, int | float) for item in value):
            return " ".join(map(str, value))
        value = " ".join(map(str, value))
    if not isinstance(value, str):
        return value
    shown = printable(value)
    return f"'{shown}" if value.startswith(FORMULA) else shown


def plain_json(tables: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> str:
    """Tables of plain values as JSON, with the notes."""
    return f"{json_text({'tables': tables, 'notes': list(notes)})}\n"


def empty_cells(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """Name a sheet's empty cells by row and column; "" where there are none."""
    found = {
        label: ", ".join(name for name, cell in zip(columns, row, strict=True) if not cell)
        for label, row in rows.items()
    }
    return "; ".join(f"{label} ({names})" for label, names in found.items() if names)
