"""What the commands print: JSON for scripts, aligned columns for people."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amlora import files
from amlora.cli.terminal import say
from amlora.errors import InputError
from amlora.printable import aligned, json_text
from amlora.report.format import MISSING

if TYPE_CHECKING:
    from amlora.records.schema import Record

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file.")]
Runs = Annotated[Path, typer.Option("--runs", help="The folder of runs.")]
ByName = Annotated[Path, typer.Option("--runs", help="Where runs are looked up by name.")]
Wanted = Annotated[
    list[str], typer.Argument(metavar="RUNS", help="Runs, packs, or folders of runs.")
]
OfGrid = Annotated[
    str | None, typer.Option("--grid", metavar="GRID", help="Only this grid's runs, by its labels.")
]
RUNS = Path("runs")


def print_json(value: Any) -> None:
    """Print a plain value as JSON."""
    say(json_text(value))


def check_place(out: Path | None, force: bool) -> None:
    """Refuse a place that cannot or must not be written, before work begins."""
    if out is None:
        return
    if out.is_dir():
        raise InputError(f"{out}: a folder, not a file to write.")
    if out.exists() and not force:
        raise InputError(f"{out}: is there already; --force overwrites it.")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent}: no such folder.")


def put(text: str, out: Path | None) -> None:
    """Print a text, or write it to a file and print the file's name."""
    if out is None:
        say(text, end="")
    else:
        files.write_text(out, text)
        say(out)


def columns(rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """Align rows, two blanks between columns; with `numbers` all but the first to the right."""
    return aligned(rows, right=range(1, 99) if numbers else ())


def print_pairs(pairs: Sequence[tuple[str, object]], indent: int = 0) -> None:
    """Print names and values, the values aligned."""
    rows = [(name, MISSING if value is None else str(value)) for name, value in pairs]
    if rows:
        say(textwrap.indent(aligned(rows), " " * indent))


def matrix(record: "Record") -> str:
    """Return a record's accuracy matrix, also of a run that is still going, as plain lines."""
    from amlora.report.matrix import matrix_rows

    return columns(matrix_rows(record), numbers=True)
