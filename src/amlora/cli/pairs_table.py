"""`amlora report --table pairs`: every method against one, on equal rows and seeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amlora.errors import InputError

if TYPE_CHECKING:
    from amlora.report.typeset import Format


def pairs_table(
    wanted: Sequence[str], runs: Path, form: "Format", grid: str | None, against: str | None
) -> str:
    """Return the table, ready to print.

    Args:
        wanted: runs or folders of runs; with a grid, one store.
        runs: where runs are looked up by name.
        form: the format.
        grid: a grid file, to compare its runs alone, under its labels.
        against: the line that the others are compared with; None for the only one of `am_lora`.

    Raises:
        InputError: no two lines to compare, no such line, or an altered run.
    """
    from amlora.cli.methods_table import scored_runs
    from amlora.report.old_pairs import pairs_tables
    from amlora.report.pairs_render import render

    scored, labels, notes = scored_runs(wanted, runs, grid)
    tables, said = pairs_tables(scored, against=against, labels=labels)
    if not tables:
        raise InputError(f"{', '.join(wanted)}: no two lines to compare; {said[0]}")
    return render(tables, form, [*said, *notes])
