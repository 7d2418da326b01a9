"""`amlora table`: methods side by side, in pairs, or beside the paper's published numbers."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amlora.cli.config import find, shipped
from amlora.cli.output import RUNS, Force, OfGrid, Wanted, check_place, put
from amlora.cli.terminal import tell
from amlora.errors import InputError
from amlora.formats import parse_toml
from amlora.printable import printable

if TYPE_CHECKING:
    from amlora.records.run import StoredRun

DECIDE = {
    "model": ("dropout", "max_tokens"),
    "stream": (
        *("border", "prefix", "form", "train_per_task", "train_per_class", "test_per_task"),
        *("test_per_class", "dev_from", "balanced", "sample_seed", "drop_unlabelled"),
    ),
    "train": (
        *("lr", "batch", "epochs", "steps", "schedule", "warmup", "clip", "weight_decay"),
        "bucketed",
    ),
    "evaluate": ("max_new_tokens",),
}
"""Settings that make a protocol, whatever the method."""


Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="LABEL",
        help="In pairs: the line that others are compared with; am_lora's if left out.",
    ),
]


class Kind(StrEnum):
    """What is compared with what."""

    methods = "methods"
    pairs = "pairs"
    first = "paper-1"
    second = "paper-2"


class Form(StrEnum):
    """How a table is written."""

    text = "text"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"
    json = "json"
    html = "html"


def table(
    kind: Annotated[
        Kind,
        typer.Argument(
            help="methods: a row a method; pairs: each method against one, on equal rows and seeds;"
            " paper-1 (T5-large), paper-2 (LLaMA2-7B): the paper's numbers, reruns and these runs."
        ),
    ],
    wanted: Wanted,
    form: Annotated[
        Form, typer.Option("--format", help="html is a fragment for a page.")
    ] = Form.text,
    grid: OfGrid = None,
    against: Against = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; the screen if left out.")
    ] = None,
    force: Force = False,
) -> None:
    """Compare finished runs in a table."""
    from amlora.report.write import write

    if against is not None and kind is not Kind.pairs:
        raise InputError("--against: only the table pairs compares with a line.")
    check_place(out, force)
    sheets, notes = sheets_of(kind, wanted, grid, against)
    put(write(sheets, form.value, notes), out)


def sheets_of(
    kind: Kind, wanted: Sequence[str], grid: str | None, against: str | None
) -> tuple[list[Any], list[str]]:
    """Return the tables, and what is to be said of runs that are not in them."""
    from amlora.records.store import read_choices
    from amlora.report import compare, methods, pairs, paper
    from amlora.streams import catalogue

    found, labels, notes = wanted_runs(wanted, grid)
    runs = compare.told(found)
    dev = runs["split"] == "dev"
    if left := int(dev.sum()):
        notes.append(f"Left out: {left} run{'s' * (left > 1)} scored on dev rows.")
    runs = runs[~dev]
    facts = facts_of(paper.method_names() | {*runs["method"]})
    if kind in (Kind.first, Kind.second):
        protocol = {"orders": catalogue.orders(), "protocols": protocols()}
        sheets, said = paper.paper_sheets(kind.value[-1], runs, facts=facts, **protocol)
        return sheets, [*said, *notes]
    if not len(runs):
        raise InputError(f"{', '.join(wanted)}: no runs that were scored on test rows.")
    runs = compare.with_facts(runs, facts)
    if kind is Kind.pairs:
        tables, said = pairs.pairs_tables(runs, compare.last_decisions(found), against, labels)
        if not tables:
            raise InputError(f"{', '.join(wanted)}: no two lines to compare; {said[0]}")
        return [pairs.pairs_sheet(each) for each in tables], [*said, *notes]
    stores = {run.path.parent: None for run in found}
    runs = compare.with_choices(runs, [each for store in stores for each in read_choices(store)])
    groups = compare.comparable(runs, labels)
    return [sheet for group in groups for sheet in methods.methods_sheets(group)], notes


def wanted_runs(
    wanted: Sequence[str], grid: str | None
) -> "tuple[list[StoredRun], dict[str, str] | None, list[str]]":
    """Return the runs that are asked for; a grid's labels by run, in its order; and notes.

    Args:
        wanted: runs or folders of runs; with a grid, one folder.
        grid: a grid file, for its runs alone.
    """
    from amlora.records.store import read_run, read_runs

    if grid is None:
        return read_runs(wanted, RUNS, lambda why: tell(f"left out: {why}")), None, []
    from amlora.grid.cells import load_grid
    from amlora.grid.listing import labels

    if len(wanted) != 1 or not (store := Path(wanted[0])).is_dir():
        raise InputError("--grid: give the one folder of runs that the grid was run in.")
    named, missing = labels(load_grid(find(grid, "grid")), store)
    cells = f"Cells of the grid without a finished run: {', '.join(missing)}."
    lines = {printable(str(store / name)): label for name, label in named.items()}
    return [read_run(store / name) for name in named], lines, [cells] if missing else []


def facts_of(methods: Collection[str]) -> dict[str, dict[str, bool]]:
    """Return what methods need, of those that are installed, by name."""
    from amlora.methods import method_class, method_names

    classes = {name: method_class(name) for name in method_names() if name in methods}
    return {
        name: {"needs_task_id": each.needs_task_id, "stores_examples": each.stores_examples}
        for name, each in classes.items()
    }


def protocols() -> dict[str, dict[str, Any]]:
    """Return what decides the shipped protocols, by dotted key; a rate that is chosen does not."""
    from amlora.experiment.settings import load_settings, resolved

    found: dict[str, dict[str, Any]] = {}
    for name in ("paper", "clean"):
        path = shipped()[name]
        stated = parse_toml(path, path.read_bytes())["train"]
        plain = resolved(load_settings(path))
        found[name] = {
            f"{section}.{key}": plain[section][key]
            for section, keys in DECIDE.items()
            for key in keys
            if (section, key) != ("train", "lr") or "lr" in stated
        }
    return found
