"""`amlora report`: one self-contained HTML page from finished runs."""

from pathlib import Path
from typing import Annotated

import typer

from amlora.errors import InputError


def report(
    wanted: Annotated[
        list[str], typer.Argument(metavar="RUNS...", help="Runs, or folders of runs.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("report.html"),
    runs: Annotated[Path, typer.Option("--runs", help="Where runs are looked up by name.")] = Path(
        "runs"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the page.")] = False,
) -> None:
    """Write an HTML report: accuracy matrices, metrics, curves, attention."""
    from amlora import files
    from amlora.experiment.store import find_runs, read_record

    if out.is_dir():
        raise InputError(f"{out}: a folder, not a file to write.")
    if out.exists() and not force:
        raise InputError(f"{out}: is there already; --force overwrites it.")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent}: no such folder.")
    folders = find_runs(wanted, runs)
    for folder in folders:
        read_record(folder)  # refuses an unfinished or altered run before work begins
    try:
        from amlora.report.page import build_page
    except ModuleNotFoundError as error:
        raise InputError(
            f"report: {error.name} is not installed; pip install 'amlora[report]'."
        ) from None
    files.write_text(out, build_page(folders))
    print(out)
