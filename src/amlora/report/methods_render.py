"""The comparison of methods as text, Markdown, CSV, JSON and LaTeX: equal tables, equal bytes.

Means over several seeds stand with their standard deviation. Empty cells are named below a table,
and so is what the marks mean; CSV and JSON hold full precision instead.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from amlora.report.format import MINUS, count, percent, points, seconds
from amlora.report.methods_table import Figure, MethodLine, MethodsTable

Format = Literal["text", "markdown", "csv", "json", "latex"]
HEADINGS = (
    *("method", "average, %", "forgetting, points", "learning accuracy, %", "BWT, points"),
    *("trained", "stored, MB", "examples", "task id", "time", "learning rate"),
)
TASK_ID, EXAMPLES = "\N{DAGGER}", "\N{DOUBLE DAGGER}"
LEGEND = {TASK_ID: "needs a task id for an answer", EXAMPLES: "keeps or makes up examples"}
FIGURES = ("average", "forgetting", "learning_accuracy", "bwt", "seconds")
LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    MINUS: "$-$",
    TASK_ID: r"$^\dagger$",
    EXAMPLES: r"$^\ddagger$",
}


def render(tables: Sequence[MethodsTable], form: Format, notes: Sequence[str] = ()) -> str:
    """Write tables in a format, ending in a newline.

    Args:
        tables: of `methods_tables`.
        form: the format.
        notes: lines of the caller's, such as what was left out.
    """
    ways: dict[Format, Callable[[Sequence[MethodsTable], Sequence[str]], str]] = {
        "text": text,
        "markdown": markdown,
        "csv": comma_separated,
        "json": as_json,
        "latex": latex,
    }
    return ways[form](tables, notes)


def cells(line: MethodLine) -> list[str]:
    """Return a line as a reader sees it, in the order of `HEADINGS`; "" is an empty cell."""
    marks = TASK_ID * bool(line.needs_task_id) + EXAMPLES * bool(line.stores_examples)
    told = {True: "yes", False: "no", None: ""}
    tried = ", ".join(f"{rate:g}" for rate in line.candidates)
    rate = "" if line.rate is None else f"{line.rate:g}"
    return [
        f"{line.label} {marks}".rstrip(),
        spread(line.average, percent),
        spread(line.forgetting, lambda value: points(value).removeprefix("+")),
        spread(line.learning_accuracy, percent),
        spread(line.bwt, points),
        "" if line.trainable_parameters is None else count(line.trainable_parameters),
        "" if line.stored_megabytes is None else f"{line.stored_megabytes:.1f}",
        "" if line.stored_examples is None else str(line.stored_examples),
        told[line.needs_task_id],
        "" if line.seconds is None else seconds(line.seconds.mean),
        f"{rate} of {tried}" if tried else rate,
    ]


def spread(value: Figure | None, show: Callable[[float], str]) -> str:
    """Show a mean, with its standard deviation (in the same unit) where there is one."""
    if value is None:
        return ""
    return show(value.mean) if value.sd is None else f"{show(value.mean)} ± {percent(value.sd)}"


def heading(table: MethodsTable) -> str:
    """Say what a table is about."""
    seeds = sorted({seed for line in table.lines for seed in line.seeds})
    shown = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    return f"{table.model}: {', '.join(table.tasks)} ({shown})"


def remarks(table: MethodsTable) -> list[str]:
    """Say what the marks mean, what is empty, and what differs between lines."""
    said: list[str] = []
    rows = [cells(line) for line in table.lines]
    for mark, meaning in LEGEND.items():
        if any(mark in row[0] for row in rows):
            said.append(f"{mark} {meaning}.")
    if any(line.average and line.average.sd is not None for line in table.lines):
        said.append("±: standard deviation over seeds.")
    counts = {line.seeds for line in table.lines[1:]}
    if len(counts) > 1:
        each = "; ".join(f"{line.label} {list(line.seeds)}" for line in table.lines[1:])
        said.append(f"Not all lines have the same seeds: {each}.")
    empty: list[str] = []
    for line, row in zip(table.lines[1:], rows[1:], strict=True):
        if names := [name for name, cell in zip(HEADINGS, row, strict=True) if not cell]:
            empty.append(f"{line.label} ({', '.join(names)})")
    if empty:
        said.append(
            "Empty cells are undefined (joint learning has no order) or were not measured:"
            f" {'; '.join(empty)}."
        )
    said.append("Stored: parameters after the last task, four bytes each; examples come on top.")
    return said


def text(tables: Sequence[MethodsTable], notes: Sequence[str]) -> str:
    """Aligned columns."""
    parts: list[str] = []
    for table in tables:
        rows = [list(HEADINGS), *(cells(line) for line in table.lines)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if at else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        parts.append("\n".join([heading(table), "", *lines, "", *remarks(table)]))
    return "\n\n".join([*parts, *notes]) + "\n"


def markdown(tables: Sequence[MethodsTable], notes: Sequence[str]) -> str:
    """Tables for a page; what a cell holds cannot end it."""

    def row(each: Sequence[str]) -> str:
        kept = (" ".join(cell.replace("\\", "\\\\").replace("|", "\\|").split()) for cell in each)
        return f"| {' | '.join(kept)} |"

    parts: list[str] = []
    for table in tables:
        rule = ["---", *["---:"] * (len(HEADINGS) - 1)]
        rows = [HEADINGS, rule, *(cells(line) for line in table.lines)]
        body = "\n".join(map(row, rows))
        listed = "\n".join(f"- {remark}" for remark in remarks(table))
        parts.append(f"**{heading(table)}**\n\n{body}\n\n{listed}")
    return "\n\n".join([*parts, *notes]) + "\n"


def flat(table: MethodsTable, line: MethodLine) -> dict[str, Any]:
    """Return a line as plain values, means and standard deviations apart."""
    found: dict[str, Any] = {
        "label": line.label,
        "method": line.method,
        "seeds": list(line.seeds),
    }
    for name in FIGURES:
        value: Figure | None = getattr(line, name)
        found[name] = value.mean if value else None
        found[f"{name}_sd"] = value.sd if value else None
    return found | {
        "trainable_parameters": line.trainable_parameters,
        "stored_megabytes": line.stored_megabytes,
        "stored_examples": line.stored_examples,
        "needs_task_id": line.needs_task_id,
        "stores_examples": line.stores_examples,
        "rate": line.rate,
        "candidates": list(line.candidates),
    }


def as_json(tables: Sequence[MethodsTable], notes: Sequence[str]) -> str:
    """Full precision, fractions, null where missing."""
    plain = [
        {
            "model": table.model,
            "tasks": list(table.tasks),
            "stream_digest": table.stream_digest,
            "lines": [flat(table, line) for line in table.lines],
        }
        for table in tables
    ]
    return json.dumps({"tables": plain, "notes": list(notes)}, indent=1, ensure_ascii=False) + "\n"


def comma_separated(tables: Sequence[MethodsTable], notes: Sequence[str]) -> str:
    """Full precision, fractions, empty where missing, lists with blanks; notes are not in it."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    for number, table in enumerate(tables):
        for at, line in enumerate(table.lines):
            row = {"model": table.model, "tasks": list(table.tasks), **flat(table, line)}
            if not number and not at:
                writer.writerow(row)
            writer.writerow(
                " ".join(map(str, value)) if isinstance(value, list) else value
                for value in row.values()
            )
    return written.getvalue()


def latex(tables: Sequence[MethodsTable], notes: Sequence[str]) -> str:
    """Plain tabular environments without any package; remarks follow as text."""

    def safe(value: str) -> str:
        return "".join(LATEX.get(letter, letter) for letter in value)

    parts: list[str] = []
    for table in tables:
        rows = [HEADINGS, *(cells(line) for line in table.lines)]
        lines = [" & ".join(map(safe, row)) + r" \\" for row in rows]
        lines.insert(1, r"\hline")
        parts.append(
            "\n".join(
                [
                    f"% {safe(heading(table))}",
                    rf"\begin{{tabular}}{{l{'r' * (len(HEADINGS) - 1)}}}",
                    *lines,
                    r"\end{tabular}",
                    "",
                    *(f"{safe(remark)}\\par" for remark in remarks(table)),
                ]
            )
        )
    return "\n\n".join([*parts, *(f"{safe(note)}\\par" for note in notes)]) + "\n"
