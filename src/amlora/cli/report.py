"""`amlora report`: one self-contained HTML page from finished runs, or a table."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from amlora.errors import InputError


class Table(StrEnum):
    """What stands alone instead of the page."""

    methods = "methods"
    first = "1"
    second = "2"


class Form(StrEnum):
    """How a table is written."""

    text = "text"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    latex = "latex"
    html = "html"


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
        Table | None,
        typer.Option(
            "--table",
            help="No page but a table: one line per method, or the paper's table 1 (T5-large) or 2"
            " (LLaMA2-7B) with its published numbers, reruns and these runs.",
        ),
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="Of the table; html is not for methods.")
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option("--grid", metavar="GRID", help="Only this grid's runs, in its order."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write an HTML report (matrices, metrics, curves, attention), or a table."""
    from amlora import files
    from amlora.experiment.store import find_runs, read_record

    if table is None and (form is not None or grid is not None):
        raise InputError(f"{'--format' if form else '--grid'}: give --table methods as well.")
    if table is not None:
        written = table_of(table, form or Form.text, wanted, runs, grid)
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


def table_of(table: Table, form: Form, wanted: Sequence[str], runs: Path, grid: str | None) -> str:
    """Return a table, ready to write.

    Raises:
        InputError: a format that it does not have, or runs that it cannot show.
    """
    from amlora.cli.methods_table import methods_table
    from amlora.cli.paper_table import paper_table

    if table is not Table.methods:
        return paper_table(table.value, wanted, runs, form.value, grid)
    if form is Form.html:
        raise InputError(
            "--format html: the page is HTML without --table; --table 1 and --table 2 have it."
        )
    return methods_table(wanted, runs, form.value, grid)


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
