"""`amlora report`: one self-contained HTML page from finished runs, or what became of skills."""

from pathlib import Path
from typing import Annotated

import typer

from amlora.cli.output import Force, check_place, put
from amlora.cli.skills import is_skills, report_skills
from amlora.cli.table import Against, facts_of, protocols, wanted_runs
from amlora.errors import InputError


def report(
    wanted: Annotated[
        list[str],
        typer.Argument(metavar="RUNS|SKILLS", help="Runs, packs, folders of runs; or skills."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The HTML page to write; of runs report.html by default."),
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", help="Of skills; the one in use if left out.")
    ] = None,
    against: Against = None,
    force: Force = False,
) -> None:
    """Write an HTML page about runs, or say what a version of SKILLS did to each skill.

    Of runs: matrices, metrics, tables, curves, attention, where they come from. How learning rates
    were chosen is shown for whole folders of runs and packs, not for single runs: nothing outside
    of what is named is read. Of skills: scores by version, changes, and the answers that flipped.
    """
    if any(map(is_skills, wanted)):
        if len(wanted) > 1 or against is not None:
            raise InputError("a skills folder is reported on alone, and without --against.")
        check_place(out, force)
        return report_skills(wanted[0], version, out)
    if version is not None:
        raise InputError(f"--version: {wanted[0]} is no skills folder.")
    out = out or Path("report.html")
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
