"""The paper's tables as text, Markdown, LaTeX, HTML, CSV and JSON: equal tables, equal bytes.

What base model and protocol own runs have stands above a table; below it stand cells without a run,
what the marks mean, what a reader must know of the published numbers, and where each comes from.
CSV has one line per number and, as JSON, full precision.
"""

from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from html import escape
from typing import Any, Literal

from amlora.printable import aligned, markdown_safe, one_line, printable
from amlora.report import typeset
from amlora.report.format import MINUS
from amlora.report.intervals import OVER, bracketed
from amlora.report.methods_render import EXAMPLES, LEGEND, TASK_ID
from amlora.report.paper_lines import Cell
from amlora.report.paper_table import PaperTable, TableRow, short
from amlora.report.typeset import (
    latex_note,
    latex_safe,
    markdown_table,
    plain_json,
)

Format = Literal["text", "markdown", "csv", "json", "latex", "html"]
SECONDARY = "*"
MEASURES = (
    "Per cent: average of all tasks' scores after the last task. Forgetting (Chaudhry 2018) is in"
    " points; it and learning accuracy are means over those of the orders that have a run."
)


def render(tables: Sequence[PaperTable], form: Format, notes: Sequence[str] = ()) -> str:
    """Write tables in a format, ending in a newline.

    Args:
        tables: of `paper_tables`.
        form: the format; "html" is a fragment for a page.
        notes: lines of the caller's, such as what was left out; CSV has none.
    """
    ways: dict[Format, Callable[[Sequence[PaperTable], Sequence[str]], str]] = {
        "text": text,
        "markdown": markdown,
        "csv": comma_separated,
        "json": as_json,
        "latex": latex,
        "html": html,
    }
    return ways[form](tables, notes)


def above(table: PaperTable) -> list[str]:
    """Say whose numbers stand in a table; the first line is its title."""
    published, side = table.published, table.side
    said = [f"{published.title}: {published.model}"]
    if side is None:
        return [*said, "Ours: no run."]
    seeds = sorted(
        {seed for row in table.rows for cell in row.cells.values() for seed in cell.seeds}
    )
    shown = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    if not side.own_model:
        said[0] += f"; ours: {short(side.model)}, another base model"
        said.append(
            f"The base model of ours is {side.model} and not {published.model}, which all published"
            " numbers are of: rows of the two do not compare."
        )
    said.append(f"Ours: base model {side.model}, protocol {side.protocol}, {shown}.")
    return said


def below(table: PaperTable) -> list[str]:
    """Say what is empty, what the marks mean, and what the published numbers are worth."""
    said = [MEASURES]
    if table.missing:
        listed = "; ".join(table.missing)
        said.append(f"No run: {table.empty} of {table.expected} cells ({listed}).")
    if table.mixed:
        listed = ", ".join(table.mixed)
        said.append(f"Not all of ours had the same rows of data, in orders: {listed}.")
    shown = [first(row) for row in table.rows]
    said.extend(
        f"{mark} {meaning}."
        for mark, meaning in LEGEND.items()
        if any(mark in cell for cell in shown)
    )
    if any(row.read == "secondary" for row in table.rows):
        said.append(f"{SECONDARY} secondary: not read in the source itself.")
    kinds = {cell.over for row in table.rows for cell in row.cells.values()}
    said.extend(meaning for kind, meaning in OVER.items() if kind in kinds)
    said.extend(table.published.remarks)
    said.extend(
        f"{source.label}: {source.cite}; {source.setting}." for source in table.published.sources
    )
    return said


def headings(table: PaperTable) -> list[str]:
    """Name the columns."""
    named = ["method", "from"]
    for column in table.columns:
        what, _, orders = column.partition(" ")
        if what == "learning":
            named.append(f"learning acc. {orders}")
        elif orders:
            named.append(f"{what} {orders}")
        else:
            named.append(f"average {column}" if "-" in column else f"order {column}")
    return named


def first(row: TableRow) -> str:
    """Return a method's label with its marks."""
    marks = TASK_ID * row.needs_task_id + EXAMPLES * row.stores_examples
    return f"{row.label} {marks}".rstrip()


def strings(table: PaperTable, row: TableRow) -> list[str]:
    """Return a row as a reader sees it; "" is an empty cell."""
    source = f"{row.source} {SECONDARY}" if row.read == "secondary" else row.source
    return [first(row), source, *(shown(row.cells.get(column)) for column in table.columns)]


def shown(cell: Cell | None) -> str:
    """Show a number, and its interval in the brackets that tell what it is over."""
    if cell is None:
        return ""
    if cell.interval is None:
        return number(cell.value)
    return f"{number(cell.value)} {bracketed(cell.interval, cell.over, number)}"


def number(value: float) -> str:
    """One decimal, halves away from zero as published figures are rounded; a zero has no sign."""
    rounded = Decimal(str(value)).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"{MINUS if rounded < 0 else ''}{abs(rounded)}"


def text(tables: Sequence[PaperTable], notes: Sequence[str]) -> str:
    """Aligned columns."""
    parts: list[str] = []
    for table in tables:
        rows = [headings(table), *(strings(table, row) for row in table.rows)]
        said, told = map(one_line, above(table)), map(one_line, below(table))
        parts.append("\n".join([*said, "", aligned(rows, right=range(2, 99)), "", *told]))
    return "\n\n".join([*parts, *map(one_line, notes)]) + "\n"


def markdown(tables: Sequence[PaperTable], notes: Sequence[str]) -> str:
    """Tables for a page; what a cell holds cannot end it."""
    parts: list[str] = []
    for table in tables:
        rows = [strings(table, row) for row in table.rows]
        title, *rest = map(markdown_safe, above(table))
        body = markdown_table(headings(table), rows, names=2)
        listed = "\n".join(f"- {markdown_safe(remark)}" for remark in below(table))
        parts.append("\n\n".join([f"**{title}**", *rest, body, listed]))
    return "\n\n".join([*parts, *map(markdown_safe, notes)]) + "\n"


def latex(tables: Sequence[PaperTable], notes: Sequence[str]) -> str:
    """Plain tabular environments without any package; remarks follow as text."""
    parts: list[str] = []
    for table in tables:
        rows = [headings(table), *(strings(table, row) for row in table.rows)]
        lines = [" & ".join(map(latex_safe, row)) + r" \\" for row in rows]
        lines.insert(1, r"\hline")
        parts.append(
            "\n".join(
                [
                    *map(latex_note, above(table)),
                    rf"\begin{{tabular}}{{ll{'r' * len(table.columns)}}}",
                    *lines,
                    r"\end{tabular}",
                    "",
                    *map(latex_note, below(table)),
                ]
            )
        )
    return "\n\n".join([*parts, *map(latex_note, notes)]) + "\n"


def html(tables: Sequence[PaperTable], notes: Sequence[str]) -> str:
    """A fragment for a page: a section per table, without style or script."""
    lines: list[str] = []
    for table in tables:
        title, *rest = map(html_safe, above(table))
        lines += ["<section>", f"<h2>{title}</h2>", *(f"<p>{line}</p>" for line in rest), "<table>"]
        heads = "".join(f'<th scope="col">{html_safe(cell)}</th>' for cell in headings(table))
        lines += [f"<thead><tr>{heads}</tr></thead>", "<tbody>"]
        for row in table.rows:
            name, *cells = map(html_safe, strings(table, row))
            rest_of_row = "".join(f"<td>{cell}</td>" for cell in cells)
            lines.append(f'<tr class="{row.read}"><th scope="row">{name}</th>{rest_of_row}</tr>')
        lines += ["</tbody>", "</table>", "<ul>"]
        lines += [f"<li>{html_safe(remark)}</li>" for remark in below(table)]
        lines += ["</ul>", "</section>"]
    return "\n".join([*lines, *(f"<p>{html_safe(note)}</p>" for note in notes)]) + "\n"


def html_safe(value: str) -> str:
    """Return a text in which nothing is HTML and nothing acts."""
    return escape(printable(value))


def flat(table: PaperTable, row: TableRow) -> list[dict[str, Any]]:
    """Return a row's numbers as plain values, one for each cell that is not empty."""
    side = table.side if row.read == "own" else None
    return [
        {
            "table": table.number,
            "model": side.model if side else table.published.model,
            "protocol": side.protocol if side else "",
            "method": row.method,
            "source": row.source,
            "read": row.read,
            "column": column,
            "value": cell.value,
            "low": cell.interval.low if cell.interval else None,
            "high": cell.interval.high if cell.interval else None,
            "interval": cell.over,
            "seeds": list(cell.seeds),
        }
        for column in table.columns
        if (cell := row.cells.get(column)) is not None
    ]


def as_json(tables: Sequence[PaperTable], notes: Sequence[str]) -> str:
    """Full precision, per cent; an empty cell is not there."""
    plain = [
        {
            "title": above(table)[0],
            "published_model": table.published.model,
            "own_model": table.side.own_model if table.side else None,
            "above": above(table)[1:],
            "columns": list(table.columns),
            "numbers": [each for row in table.rows for each in flat(table, row)],
            "no_run": list(table.missing),
            "below": below(table),
        }
        for table in tables
    ]
    return plain_json(plain, notes)


def comma_separated(tables: Sequence[PaperTable], notes: Sequence[str]) -> str:
    """Full precision, per cent, one line per number; published ones once."""
    return typeset.comma_separated(
        [
            each
            for at, table in enumerate(tables)
            for row in table.rows
            if not at or row.read == "own"
            for each in flat(table, row)
        ]
    )
