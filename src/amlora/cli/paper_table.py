"""`amlora report --table 1`, `--table 2`: the paper's tables with the runs of a store."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amlora.formats import parse_toml

if TYPE_CHECKING:
    from amlora.report.paper_render import Format

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


def paper_table(
    number: str, wanted: Sequence[str], runs: Path, form: "Format", grid: str | None
) -> str:
    """Return one of the paper's tables, ready to print.

    Args:
        number: "1" or "2".
        wanted: runs or folders of runs; with a grid, one store.
        runs: where runs are looked up by name.
        form: the format.
        grid: a grid file, to show its runs alone.

    Raises:
        InputError: no run, an altered one, or two of the same cell.
    """
    from amlora.cli.methods_table import facts_of, grid_runs, split_of
    from amlora.cli.readable import readable_runs
    from amlora.records.store import read_run
    from amlora.report.paper_render import render
    from amlora.report.paper_table import paper_tables
    from amlora.report.published import published
    from amlora.streams import catalogue

    if grid is None:
        found = readable_runs(wanted, runs)
    else:
        found = [read_run(folder) for folder in grid_runs(wanted, grid)[0]]
    scored = [run for run in found if split_of(run.record.settings) != "dev"]
    methods = {method.name for method in published()[number].methods}
    tables, notes = paper_tables(
        number,
        scored,
        orders=catalogue.orders(),
        protocols=protocols(),
        facts=facts_of(methods | {run.record.method for run in scored}),
    )
    if left := len(found) - len(scored):
        notes.append(f"Left out: runs scored on dev rows: {left}.")
    return render(tables, form, notes)


def protocols() -> dict[str, dict[str, Any]]:
    """Return what decides the shipped protocols, by dotted key; a rate that is chosen does not."""
    from amlora.cli.shipped import shipped_file
    from amlora.experiment.settings import load_settings, resolved

    found: dict[str, dict[str, Any]] = {}
    for name in ("paper", "clean"):
        path = shipped_file(name)
        stated = parse_toml(path, path.read_bytes())["train"]
        plain = resolved(load_settings(path))
        found[name] = {
            f"{section}.{key}": plain[section][key]
            for section, keys in DECIDE.items()
            for key in keys
            if (section, key) != ("train", "lr") or "lr" in stated
        }
    return found
