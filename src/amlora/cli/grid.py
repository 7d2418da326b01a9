"""`amlora grid`: run a comparison of methods, several cells at a time, here or on a cluster."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from amlora.cli.config import check_kind, find
from amlora.cli.output import RUNS, Json, Runs, columns, print_json
from amlora.cli.terminal import say, tell
from amlora.errors import InputError
from amlora.formats import NotTOML, parse_toml
from amlora.printable import one_line
from amlora.report.format import MISSING

if TYPE_CHECKING:
    from amlora.grid.cells import Cell, Grid

HEADER = ("LABEL", "ORDER", "SEED", "RATE", "STATE", "RUN")


def grid(
    file: Annotated[
        str, typer.Argument(metavar="GRID", help="A grid file, or a shipped one's name.")
    ],
    runs: Runs = RUNS,
    list_only: Annotated[bool, typer.Option("--list", help="List the cells; run none.")] = False,
    shard: Annotated[
        str, typer.Option("--shard", metavar="I/N", help="Only the I-th of N shares, I from 1.")
    ] = "1/1",
    on: Annotated[
        Literal["here", "processes", "slurm", "ray"],
        typer.Option("--on", help="This process, processes here, a Slurm or a Ray cluster."),
    ] = "processes",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Cells at a time: 1, and on a cluster all."),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="KEY=VALUE", help="An option of submitit or Ray."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Do runs anew whose data or method changed.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the end.")] = False,
    as_json: Json = False,
) -> None:
    """Run every cell of GRID that is not finished; the same command goes on after a stop.

    Exit status 1 if any cell failed; the others are run all the same.
    """
    if runs.exists() and not runs.is_dir():
        raise InputError(f"{runs}: a file, not a folder of runs.")
    path = find(file, "grid")
    check_kind(path, "grid")
    numbers, options = parse_shard(shard), parse_options(with_ or ())

    def told(line: str) -> None:
        if not quiet:
            tell(one_line(line))

    from amlora.grid.cells import load_grid

    loaded = load_grid(path)
    cells = loaded.share(*numbers)
    failed: dict[str, str] = {}
    if not list_only:
        from amlora.grid.executors import make
        from amlora.grid.sweep import Sweep

        jobs = jobs or (1 if on in ("here", "processes") else 0)
        executor = make(on, options, jobs=jobs, logs=runs / "grids" / loaded.name / "jobs")
        told(f"{len(cells)} cells in {runs}, {jobs or 'all'} at a time.")
        work = Sweep(loaded, cells, runs, executor, jobs=jobs, tell=told, force=force)
        failed = {item.cell.title: item.reason for item in work.all() if item.state == "failed"}
    rows = listing(loaded, cells, runs, failed)
    if as_json:
        print_json(rows)
    elif list_only:
        say(columns([HEADER, *map(shown, rows)]))
    else:
        say(f"{sum(row['state'] == 'finished' for row in rows)} cells finished in {runs}.")
        say(f"amlora table methods {runs} --grid {path}")
    for title, reason in failed.items():
        tell(one_line(f"amlora: {title}: {reason}"))
    if failed:
        raise typer.Exit(1)


def parse_shard(text: str) -> tuple[int, int]:
    """Read "2/4"."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(f"--shard {text}: expected I/N with I from 1 to N, such as 2/4.")
    return int(found[1]), int(found[2])


def parse_options(words: Sequence[str]) -> dict[str, Any]:
    """Read options of an engine: each value is TOML, else plain text."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise InputError(f"--with {word}: expected KEY=VALUE, such as timeout_min=240.")
        try:
            found[key] = parse_toml(f"--with {word}", f"value = {value}")["value"]
        except NotTOML:
            found[key] = value
    return found


def listing(
    loaded: "Grid", cells: "Sequence[Cell]", runs: Path, failed: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return a plain row for each cell: the candidates of each choice first, then the rest."""
    from amlora.grid.listing import standings

    return [
        {
            "kind": "select" if cell.selects else "run",
            "label": cell.line.label,
            "order": cell.line.order,
            "seed": cell.seed,
            "rate": cell.rate,
            "state": "failed" if cell.title in failed else state,
            "run": None if cell.rate is None else cell.name,
            "reason": failed.get(cell.title, reason) or None,
        }
        for cell, state, reason in standings(loaded, cells, runs)
    ]


def shown(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a row as a person reads it."""
    label = f"select {row['label']}" if row["kind"] == "select" else row["label"]
    rate = MISSING if row["rate"] is None else f"{row['rate']:g}"
    run = row["reason"] or row["run"] or MISSING
    return label, row["order"] or MISSING, str(row["seed"]), rate, row["state"], run
