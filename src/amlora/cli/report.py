"""`amlora report`: one self-contained HTML page from finished runs, or the table of methods."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from amlora.errors import InputError


class Table(StrEnum):
    """What stands alone instead of the page."""

    methods = "methods"


class Form(StrEnum):
    """How a table is written."""

    text = "text"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    latex = "latex"


def report(
    wanted: Annotated[
        list[str], typer.Argument(metavar="RUNS...", help="Runs, or folders of runs.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The file to write; report.html, or the screen for a table."),
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Where runs are looked up by name.")] = Path(
        "runs"
    ),
    table: Annotated[
        Table | None, typer.Option("--table", help="A table of one line per method, no page.")
    ] = None,
    form: Annotated[Form | None, typer.Option("--format", help="Of the table.")] = None,
    grid: Annotated[
        str | None,
        typer.Option("--grid", metavar="GRID", help="Only this grid's runs, in its order."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write an HTML report (matrices, metrics, curves, attention), or a table of methods."""
    from amlora import files
    from amlora.experiment.store import find_runs, read_record

    if table is None and (form is not None or grid is not None):
        raise InputError(f"{'--format' if form else '--grid'}: give --table methods as well.")
    if table is not None:
        from amlora.cli.methods_table import methods_table

        written = methods_table(wanted, runs, form.value if form else "text", grid)
        if out is None:
            print(written, end="")
            return
        check_place(out, force)
        files.write_text(out, written)
        print(out)
        return
    out = out or Path("report.html")
    check_place(out, force)
    folders = find_runs(wanted, runs)
    for folder in folders:
        read_record(folder)  # refuses an unfinished or altered run before work begins
    print(write_page(out, folders))


def check_place(out: Path, force: bool) -> None:
    """Refuse a place that cannot or must not be written.

    Raises:
        InputError: naming it.
    """
    if out.is_dir():
        raise InputError(f"{out}: a folder, not a file to write.")
    if out.exists() and not force:
        raise InputError(f"{out}: is there already; --force overwrites it.")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent}: no such folder.")


def write_page(out: Path, folders: Sequence[Path]) -> Path:
    """Write the HTML page; return where."""
    from amlora import files

    try:
        from amlora.report.page import build_page
    except ModuleNotFoundError as error:
        raise InputError(
            f"report: {error.name} is not installed; pip install 'amlora[report]'."
        ) from None
    files.write_text(out, build_page(folders))
    return out
