"""`amlora report`: one self-contained HTML page from finished runs."""

from pathlib import Path
from typing import Annotated

import typer

from amlora.cli.output import check_place, put


def report(
    wanted: Annotated[
        list[str], typer.Argument(metavar="RUNS...", help="Runs, packs, or folders of runs.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("report.html"),
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
    check_place(out, force)  # before work begins
    from amlora.cli.table import facts_of, protocols, wanted_runs
    from amlora.records.store import is_store, read_choices
    from amlora.report.page import Known, build_page
    from amlora.report.paper import method_names
    from amlora.streams import catalogue

    runs, _, _ = wanted_runs(wanted, None)
    known = Known(
        facts=facts_of(method_names() | {run.record.method for run in runs}),
        choices=[
            choice for item in wanted if is_store(Path(item)) for choice in read_choices(Path(item))
        ],
        orders=catalogue.orders(),
        protocols=protocols(),
        against=against,
    )
    put(build_page(runs, known), out)
