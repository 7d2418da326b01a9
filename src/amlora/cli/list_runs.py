"""`amlora ls`: the runs in a folder."""

from pathlib import Path
from typing import Annotated

import typer

from amlora.cli.output import Json, columns, print_json
from amlora.cli.terminal import say
from amlora.printable import one_line
from amlora.report.format import MISSING, percent

HEADER = ("RUN", "METHOD", "SEED", "STATE", "AVERAGE", "FORGETTING", "FINISHED")


def ls(
    runs: Annotated[Path, typer.Argument(help="The folder of runs.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List runs: method, seed, state, average accuracy and forgetting (points)."""
    from dataclasses import asdict

    from amlora.records.store import list_runs

    found = list_runs(runs)
    if as_json:
        return print_json([asdict(run) for run in found])
    rows: list[tuple[str, ...]] = []
    for run in found:
        state = "damaged" if run.problem else "finished" if run.finished else "unfinished"
        rows.append(
            (
                run.folder.name,
                run.method or MISSING,
                MISSING if run.seed is None else str(run.seed),
                state,
                percent(run.average),
                percent(run.forgetting),
                (run.when or MISSING)[:16],
            )
        )
    say(columns([HEADER, *rows]))
    for run in found:
        if run.problem:
            say(one_line(f"damaged: {run.problem}"))
