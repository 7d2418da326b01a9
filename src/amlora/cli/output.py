"""What the commands print: JSON for scripts, aligned columns for people."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from amlora.report.format import MISSING

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:
    """Print a plain value as JSON."""
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=str))


def columns(rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """Align rows, two blanks between columns; with `numbers` all but the first to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if numbers and at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def print_pairs(pairs: Sequence[tuple[str, object]], indent: int = 0) -> None:
    """Print names and values, the values aligned."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        print(f"{' ' * indent}{name.ljust(width)}  {MISSING if value is None else value}")


def matrix(record: Mapping[str, Any]) -> str:
    """Return a record's accuracy matrix, also of a run that is still going, as plain lines."""
    from amlora.report.text import matrix_rows

    return columns(matrix_rows(record), numbers=True)
