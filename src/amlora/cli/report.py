"""`amlora report`: one self-contained HTML page from finished runs."""

from pathlib import Path
from typing import Annotated

import typer

from amlora.cli.output import Force, Wanted, check_place, put
from amlora.cli.table import Against, facts_of, protocols, wanted_runs


def report(
    wanted: Wanted,
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("report.html"),
    against: Against = None,
    force: Force = False,
) -> None:
    """Write an HTML page: matrices, metrics, tables, curves, attention, where runs come from.

    How learning rates were chosen is shown for whole folders of runs and packs, not for single
    runs: nothing outside of what is named is read.
    """
    check_place(out, force)
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
