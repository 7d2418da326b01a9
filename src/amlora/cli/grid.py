"""`amlora grid`: run a comparison of methods, several cells at a time, on one store or a share."""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amlora.cli.output import Json, columns, print_json
from amlora.cli.shipped import check_kind, find
from amlora.cli.terminal import say, tell
from amlora.errors import InputError
from amlora.printable import one_line
from amlora.report.format import MISSING, percent, seconds

if TYPE_CHECKING:
    from amlora.experiment.grid import Cell, Grid, Group, Slot
    from amlora.experiment.grid_choice import Choice
    from amlora.experiment.grid_item import Item
    from amlora.experiment.grid_sweep import Overview

HEADER = ("CELL", "LABEL", "ORDER", "SEED", "RATE", "STATE", "RUN")
EVERY = 30.0  # seconds between two lines on how far everything is


def grid(
    file: Annotated[
        str, typer.Argument(metavar="GRID", help="A grid file, or a shipped one's name.")
    ],
    runs: Annotated[Path, typer.Option("--runs", help="The folder of runs.")] = Path("runs"),
    list_only: Annotated[bool, typer.Option("--list", help="List the cells; run none.")] = False,
    shard: Annotated[
        str, typer.Option("--shard", metavar="I/N", help="Only the I-th of N shares, I from 1.")
    ] = "1/1",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Cells at a time.")] = 1,
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
    numbers = parse_shard(shard)

    from amlora.experiment.grid_file import load_grid

    loaded = load_grid(path)
    slots = loaded.share(*numbers)
    if not list_only:
        failed = sweep(loaded, slots, runs, jobs, quiet)
    rows = listing(loaded, slots, runs)
    if as_json:
        print_json(rows)
    elif list_only:
        say(columns([HEADER, *(shown(row) for row in rows)]))
    if list_only:
        return
    if not as_json:
        say(f"{sum(row['state'] == 'finished' for row in rows)} cells finished in {runs}.")
        say(f"amlora report {runs} --table methods --grid {path}")
    if failed:
        for item in failed:
            tell(one_line(f"amlora: {item.title}: {item.reason}"))
        raise typer.Exit(1)


def parse_shard(text: str) -> tuple[int, int]:
    """Read "2/4".

    Raises:
        InputError: not of that form, or a share that is none of them.
    """
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(f"--shard {text}: expected I/N with I from 1 to N, such as 2/4.")
    return int(found[1]), int(found[2])


def sweep(
    loaded: "Grid", slots: "Sequence[Slot]", runs: Path, jobs: int, quiet: bool
) -> "list[Item]":
    """Run the cells; return those that failed."""
    import torch

    from amlora.experiment.grid_item import Bench
    from amlora.experiment.grid_sweep import Sweep

    told = Lines(quiet=quiet)
    threads = max(1, torch.get_num_threads() // jobs)
    told.note(f"{len(slots)} cells in {runs}; {jobs} at a time, threads for each: {threads}.")
    bench = Bench(store=runs, threads=threads)
    items = Sweep(grid=loaded, slots=slots, bench=bench, jobs=jobs, told=told).all()
    return [item for item in items if item.state == "failed"]


def listing(loaded: "Grid", slots: "Sequence[Slot]", runs: Path) -> list[dict[str, Any]]:
    """Return a plain row for each cell: the candidates of each choice first, then the rest."""
    from amlora.experiment.grid_choice import chosen_rate

    choosers = {slot.group.choosing.key: slot.group.choosing for slot in slots}
    rates = {key: chosen_rate(runs, loaded.name, group) for key, group in choosers.items()}
    rows = [
        row_of(group, cell, group.seed, runs)
        for group in choosers.values()
        for cell in group.candidates()
    ]
    for slot in slots:
        rate = rates[slot.group.choosing.key]
        cell = None if rate is None else slot.group.cell(slot.seed, rate)
        rows.append(row_of(slot.group, cell, slot.seed, runs))
    return rows


def row_of(group: "Group", cell: "Cell | None", seed: int, runs: Path) -> dict[str, Any]:
    """Return what there is to say of a cell; None for one whose rate is not chosen yet."""
    from amlora.experiment.grid_store import failure_of, run_of, state_of

    row: dict[str, Any] = {
        "kind": "select" if cell and cell.selects else "run",
        "label": group.label,
        "order": group.order,
        "seed": seed,
        "rate": cell.settings.train.lr if cell else None,
        "cell": cell.id if cell else None,
        "state": "waiting",
        "run": None,
        "reason": None,
    }
    try:
        if cell:
            row["state"] = state_of(runs, cell)
        if cell and (run := run_of(runs, cell)):
            row["run"] = run.name
    except (InputError, OSError) as error:
        row["state"], row["reason"] = "damaged", str(error)
    if cell and row["state"] == "failed" and (failure := failure_of(runs, cell.id)):
        row["reason"] = failure.reason
        if cell.selects and failure.kind == "diverged":
            row["state"] = "diverged"
    return row


def shown(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a row as a person reads it."""
    return (
        row["cell"] or MISSING,
        f"select {row['label']}" if row["kind"] == "select" else row["label"],
        row["order"] or MISSING,
        str(row["seed"]),
        MISSING if row["rate"] is None else f"{row['rate']:g}",
        row["state"],
        row["run"] or row["reason"] or MISSING,
    )


class Lines:
    """One line for every event, and one now and then on how far everything is, to stderr."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.said = time.monotonic()

    def note(self, text: str) -> None:
        """Print a line."""
        if not self.quiet:
            tell(one_line(text))
        self.said = time.monotonic()

    def started(self, item: "Item") -> None:
        """Name the cell."""
        self.note(f"{item.title}: started.")

    def ended(self, item: "Item") -> None:
        """Say how it ended, with its score."""
        if item.run is None:
            self.note(f"{item.title}: {item.state}: {item.reason}")
            return
        from amlora.records.store import summary

        what = "dev rows" if item.cell and item.cell.selects else "average"
        score = percent(summary(item.run).average)
        took = f" in {seconds(time.monotonic() - item.began)}" if item.began else " already"
        self.note(f"{item.title}: finished{took}, {what} {score} %.")

    def chosen(self, choice: "Choice") -> None:
        """Say which rate, among which."""
        among = ", ".join(f"{each.rate:g}: {percent(each.score)} %" for each in choice.candidates)
        order = f", order {choice.order}" if choice.order else ""
        rows = f"dev rows of {choice.task}"
        self.note(f"{choice.label}{order}: rate {choice.rate:g} chosen ({rows}, {among}).")

    def status(self, overview: "Overview") -> None:
        """Print how far everything is, when a line is due."""
        if time.monotonic() - self.said < EVERY:
            return
        running = "; ".join(f"{title} {round(100 * done)} %" for title, done in overview.running)
        failed = f", {overview.failed} failed" if overview.failed else ""
        left = overview.seconds_left
        ending = "" if left is None else f"; about {seconds(left)} left"
        self.note(
            f"{overview.finished} of {overview.total} finished{failed}; {running or 'waiting'}"
            f"{ending}"
        )
