"""`amlora report --table methods`: which runs stand in it, and under which names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amlora.errors import InputError

if TYPE_CHECKING:
    from amlora.records.run import StoredRun as Run
    from amlora.report.methods_render import Format
    from amlora.report.methods_table import Facts


def methods_table(wanted: Sequence[str], runs: Path, form: "Format", grid: str | None) -> str:
    """Return the table, ready to print.

    Args:
        wanted: runs or folders of runs; with a grid, one store.
        runs: where runs are looked up by name.
        form: the format.
        grid: a grid file, to show its runs alone, in its order.

    Raises:
        InputError: no run to show, an altered one, or several seeds of a line and no scipy.
    """
    from amlora.report.choices import read_choices
    from amlora.report.methods_render import render
    from amlora.report.methods_table import methods_tables

    scored, labels, notes = scored_runs(wanted, runs, grid)
    stores = {run.path.parent: None for run in scored}
    tables = methods_tables(
        scored,
        facts=facts_of({run.record.method for run in scored}),
        choices=[choice for store in stores for choice in read_choices(store)],
        labels=labels,
    )
    return render(tables, form, notes)


def scored_runs(
    wanted: Sequence[str], runs: Path, grid: str | None
) -> "tuple[list[Run], dict[Path, str] | None, list[str]]":
    """Return the runs that were scored on test rows, with what is to be said of the others.

    Args:
        wanted: runs or folders of runs; with a grid, one store.
        runs: where runs are looked up by name.
        grid: a grid file, for its runs alone.

    Returns:
        The runs, at least one; a grid's labels by folder, in its order; and notes.

    Raises:
        InputError: no such run, or an altered one.
    """
    from amlora.cli.readable import readable_runs
    from amlora.records.store import read_run

    labels, notes = None, list[str]()
    if grid is not None:
        labels, missing = grid_runs(wanted, grid)
        found = [read_run(folder) for folder in labels]
        if missing:
            notes.append(f"Cells of the grid without a finished run: {', '.join(missing)}.")
    else:
        found = readable_runs(wanted, runs)
    scored = [run for run in found if split_of(run.record.settings) != "dev"]
    if left := len(found) - len(scored):
        notes.append(f"Left out: {left} run{'s' * (left > 1)} scored on dev rows.")
    if not scored:
        raise InputError(f"{', '.join(wanted)}: no runs that were scored on test rows.")
    return scored, labels, notes


def split_of(settings: Mapping[str, object]) -> object:
    """Return which rows a run scored."""
    evaluate = settings.get("evaluate")
    return evaluate.get("split") if isinstance(evaluate, Mapping) else None


def grid_runs(wanted: Sequence[str], grid: str) -> tuple[dict[Path, str], list[str]]:
    """Return the finished runs of a grid with their labels, and the titles of the other cells.

    Raises:
        InputError: not one store, or none of its runs is finished.
    """
    from amlora.cli.shipped import find
    from amlora.grid.cells import load_grid
    from amlora.grid.listing import labels

    if len(wanted) != 1 or not Path(wanted[0]).is_dir():
        raise InputError("--grid: give the one folder of runs that the grid was run in.")
    store = Path(wanted[0])
    named, missing = labels(load_grid(find(grid, "grid")), store)
    return {store / name: label for name, label in named.items()}, missing


def facts_of(methods: set[str]) -> "dict[str, Facts]":
    """Return what methods need, of those that are installed."""
    from amlora.methods import method_class, method_names
    from amlora.report.methods_table import Facts

    known = set(method_names())
    return {
        name: Facts(
            needs_task_id=method_class(name).needs_task_id,
            stores_examples=method_class(name).stores_examples,
        )
        for name in sorted(methods & known)
    }
