"""Rows of strings as text, Markdown and LaTeX, plain values as CSV and JSON: equal in, equal out.

What a cell holds cannot end it, whatever a run was called.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from amlora.report.format import MINUS

Format = Literal["text", "markdown", "csv", "json", "latex"]
LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    MINUS: "$-$",
    "\N{DAGGER}": r"$^\dagger$",
    "\N{DOUBLE DAGGER}": r"$^\ddagger$",
}


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
    safe = latex_note if form == "latex" else str
    return "\n\n".join([*map(ways[form], sheets), *map(safe, notes)]) + "\n"


def text(sheet: Sheet) -> str:
    """Aligned columns; names to the left, all else to the right."""
    rows = [sheet.columns, *sheet.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([sheet.heading, "", *lines, "", *sheet.remarks])


def markdown(sheet: Sheet) -> str:
    """A table for a page."""

    def row(each: Sequence[str]) -> str:
        kept = (" ".join(cell.replace("\\", "\\\\").replace("|", "\\|").split()) for cell in each)
        return f"| {' | '.join(kept)} |"

    rule = ["---", *["---:"] * (len(sheet.columns) - 1)]
    body = "\n".join(map(row, [sheet.columns, rule, *sheet.rows]))
    listed = "\n".join(f"- {remark}" for remark in sheet.remarks)
    return f"**{sheet.heading}**\n\n{body}\n\n{listed}"


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
    """Escape what LaTeX would read as its own."""
    return "".join(LATEX.get(letter, letter) for letter in value)


def latex_note(value: str) -> str:
    """A paragraph."""
    return f"{latex_safe(value)}\\par"


def comma_separated(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as CSV: full precision, empty where missing, lists with blanks."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    for at, row in enumerate(rows):
        if not at:
            writer.writerow(row)
        writer.writerow(
            " ".join(map(str, value)) if isinstance(value, list) else value
            for value in row.values()
        )
    return written.getvalue()


def plain_json(tables: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> str:
    """Tables of plain values as JSON, with the notes."""
    written = json.dumps({"tables": tables, "notes": list(notes)}, indent=1, ensure_ascii=False)
    return f"{written}\n"


def empty_cells(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """Name a sheet's empty cells by row and column; "" where there are none."""
    found = {
        label: ", ".join(name for name, cell in zip(columns, row, strict=True) if not cell)
        for label, row in rows.items()
    }
    return "; ".join(f"{label} ({names})" for label, names in found.items() if names)
