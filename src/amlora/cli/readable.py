"""The runs of a report or a table: read and checked before anything is made of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amlora.cli.terminal import tell

if TYPE_CHECKING:
    from amlora.records.run import StoredRun


def readable_runs(wanted: Sequence[str], runs: Path) -> "list[StoredRun]":
    """Return runs, each once; of a folder of runs, a damaged one is named and left out.

    Args:
        wanted: runs or folders of runs.
        runs: where runs are looked up by name.

    Raises:
        InputError: no such run, a damaged one that was asked for by itself, or none is left.
    """
    from amlora.records.store import read_runs

    return read_runs(wanted or [str(runs)], runs, lambda why: tell(f"left out: {why}"))
