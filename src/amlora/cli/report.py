"""`amlora report`: one self-contained HTML page from finished runs."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from amlora.cli.output import check_place, put
from amlora.errors import InputError


class Table(StrEnum):
    """What stands alone instead of the page."""

    methods = "methods"
    pairs = "pairs"
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
        list[str], typer.Argument(metavar="RUNS...", help="Runs, packs, or folders of runs.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; report.html if left out.")
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Where runs are looked up by name.")] = Path(
        "runs"
    ),
    table: Annotated[Table | None, typer.Option("--table", help="Use amlora table.")] = None,
    form: Annotated[Form | None, typer.Option("--format", help="Of a table.")] = None,
    grid: Annotated[str | None, typer.Option("--grid", help="Of a table.")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="LABEL",
            help="The line that others are compared with; am_lora's if left out.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write an HTML page: matrices, metrics, tables, curves, attention, where runs come from.

    Choices of learning rates are shown of the folders that are given, and so not with a run that is
    given by itself: nothing outside of what is named is read.
    """
    if table is None and form is not None:
        raise InputError("--format: give --table as well.")
    if table is None and grid is not None:
        raise InputError("--grid: give --table as well.")
    if table not in (None, Table.pairs) and against is not None:
        raise InputError("--against: only the page and --table pairs compare with a line.")
    out = out if table else out or Path("report.html")
    check_place(out, force)  # before work begins
    if table is not None:
        return put(table_of(table, form or Form.text, wanted, runs, grid, against), out)
    from amlora.cli.table import facts_of, protocols, wanted_runs
    from amlora.records.store import is_store, read_choices
    from amlora.report.page import Known, build_page
    from amlora.report.paper import method_names
    from amlora.streams import catalogue

    found, _, _ = wanted_runs(wanted, None)
    known = Known(
        facts=facts_of(method_names() | {run.record.method for run in found}),
        choices=[
            choice for item in wanted if is_store(Path(item)) for choice in read_choices(Path(item))
        ],
        orders=catalogue.orders(),
        protocols=protocols(),
        against=against,
    )
    put(build_page(found, known), out)


def table_of(
    table: Table,
    form: Form,
    wanted: Sequence[str],
    runs: Path,
    grid: str | None,
    against: str | None,
) -> str:
    """Return a table, ready to write.

    Raises:
        InputError: a format that it does not have, or runs that it cannot show.
    """
    from amlora.cli.methods_table import methods_table
    from amlora.cli.paper_table import paper_table

    if table in (Table.first, Table.second):
        return paper_table(table.value, wanted, runs, form.value, grid)
    if form is Form.html:
        raise InputError(
            "--format html: the page is HTML without --table; --table 1 and --table 2 have it."
        )
    if table is Table.pairs:
        from amlora.cli.pairs_table import pairs_table

        return pairs_table(wanted, runs, form.value, grid, against)
    return methods_table(wanted, runs, form.value, grid)
