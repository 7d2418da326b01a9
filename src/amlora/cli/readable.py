"""The runs of a report or a table: read and checked before anything is made of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amlora.cli.terminal import tell
from amlora.errors import InputError

if TYPE_CHECKING:
    from amlora.report.read import Run


def readable_runs(wanted: Sequence[str], runs: Path) -> "list[Run]":
    """Return runs, each once; of a folder of runs, a damaged one is named and left out.

    Args:
        wanted: runs or folders of runs.
        runs: where runs are looked up by name.

    Raises:
        InputError: no such run, a damaged one that was asked for by itself, or none is left.
    """
    from amlora.experiment.store import find_runs, is_run

    found: dict[Path, Run] = {}
    for item in wanted or [str(runs)]:
        store = Path(item).is_dir() and not is_run(Path(item))
        for folder in find_runs([item], runs):
            try:
                found.setdefault(folder.resolve(), checked_run(folder))
            except InputError as error:
                if not store:
                    raise
                tell(f"left out: {error}")
            except OSError as error:
                if not store:
                    raise
                tell(f"left out: {error.filename}: {error.strerror}.")
    if not found:
        raise InputError(f"{', '.join(wanted)}: no run that can be read.")
    return list(found.values())


def checked_run(folder: Path) -> "Run":
    """Read a run after checking that it is finished and nothing of it is missing or altered."""
    from amlora.experiment.store import read_record
    from amlora.report.read import read_run

    read_record(folder)
    return read_run(folder)
