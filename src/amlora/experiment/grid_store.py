"""What a store of runs knows of the cells of grids: settings, lease, run, failure.

    <store>/cells/<id>/   settings.toml   the cell, as `amlora run` reads it
                          cell.json       since it was first started; the run's folder once finished
                          failed.json     why its last attempt failed
                          .lock           the lease: held by the process that works on the cell

A cell's id is the hash of its settings, so grids with equal cells share them, and so do several
processes on one store. The operating system lets go of the lease when its process dies.
"""

import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from amlora import files
from amlora.errors import InputError
from amlora.experiment.config import to_toml
from amlora.experiment.grid import Cell
from amlora.experiment.store import RECORD
from amlora.formats import typed

SETTINGS, CELL, FAILED = "settings.toml", "cell.json", "failed.json"
DETAILS = 60  # lines of a traceback that are kept

State = Literal["waiting", "started", "finished", "failed"]
Kind = Literal["input", "diverged", "error", "killed"]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a cell's last attempt failed."""

    kind: Kind
    """input: a setting, the data or the model. diverged: the loss became infinite or not a number.
    error: anything else. killed: its process was ended from outside."""
    reason: str
    """One line."""
    at: str
    """ISO time, which tells one attempt from another."""
    details: tuple[str, ...] = ()
    """The traceback's last lines, of an error."""


def cell_folder(store: Path, cell: str) -> Path:
    """Return where a cell's files are."""
    return store / "cells" / cell


def keep_settings(store: Path, cell: Cell) -> None:
    """Write a cell's settings, whatever is there: its process reads them from this file."""
    folder = cell_folder(store, cell.id)
    files.make_folder(folder)
    files.write_text(folder / SETTINGS, to_toml(cell.settings))


def keep_run(store: Path, cell: str, run: str | None) -> None:
    """Note that a cell was started, or which run it became."""
    files.write_json(cell_folder(store, cell) / CELL, {"cell": cell, "run": run})


def run_of(store: Path, cell: str) -> Path | None:
    """Return the folder of a cell's finished run, or None."""
    path = cell_folder(store, cell) / CELL
    if not files.exists(path):
        return None
    found = files.read_json(path)
    name = found.get("run") if isinstance(found, dict) else None
    if not isinstance(name, str):
        return None
    folder = files.inside(store, name)
    return folder if files.exists(folder / RECORD) else None


def leased(store: Path, cell: str) -> bool:
    """Tell whether a process works on a cell now."""
    folder = cell_folder(store, cell)
    if not files.exists(folder):
        return False
    try:
        with files.lock(folder):
            return False
    except InputError:
        return True


def failure_of(store: Path, cell: str) -> Failure | None:
    """Return why a cell's last attempt failed; None where none did."""
    path = cell_folder(store, cell) / FAILED
    if not files.exists(path):
        return None
    return typed(path, files.read_json(path), Failure)


def keep_failure(
    store: Path, cell: str, kind: Kind, reason: str, error: BaseException | None = None
) -> None:
    """Write why an attempt failed; whoever holds the lease may."""
    lines = "".join(traceback.format_exception(error)).splitlines() if error else []
    failure = Failure(
        kind=kind,
        reason=" ".join(reason.split()),
        at=datetime.now(UTC).isoformat(),
        details=tuple(lines[-DETAILS:]),
    )
    files.write_json(cell_folder(store, cell) / FAILED, msgspec.to_builtins(failure))


def forget_failure(store: Path, cell: str) -> None:
    """Remove the note of an earlier attempt."""
    files.discard(cell_folder(store, cell) / FAILED)


def state_of(store: Path, cell: str) -> State:
    """Return where a cell stands, by its files alone."""
    if run_of(store, cell):
        return "finished"
    if leased(store, cell):
        return "started"
    if failure_of(store, cell):
        return "failed"
    return "started" if files.exists(cell_folder(store, cell) / CELL) else "waiting"
