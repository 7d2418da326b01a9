"""What a store of runs knows of the cells of grids: settings, lease, run, failure.

    <store>/cells/<id>/   settings.toml   the cell, as `amlora run` reads it
                          cell.json       since it was first started; the run's folder once finished
                          failed.json     why its last attempt failed
                          .lock           the lease: held by the process that works on the cell

A cell's id is the hash of its settings, so grids with equal cells share them, and so do several
processes on one store. The operating system lets go of the lease when its process dies.
"""

import re
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from amlora import files
from amlora.errors import InputError
from amlora.experiment.grid import Cell
from amlora.experiment.settings import resolved, to_toml
from amlora.experiment.store import read_record
from amlora.formats import typed
from amlora.records.run import RECORD

SETTINGS, CELL, FAILED = "settings.toml", "cell.json", "failed.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")  # of a run's folder
DETAILS = 60  # lines of a traceback that are kept

State = Literal["waiting", "started", "finished", "failed"]
Kind = Literal["input", "diverged", "error", "killed"]


class Note(msgspec.Struct, frozen=True):
    """That a cell was started, or which run it became."""

    cell: str
    run: str | None


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
    path, text = folder / SETTINGS, to_toml(cell.settings)
    # Another process's child may hold the lease by now, and sweep up what is half written here.
    if not files.exists(path) or files.read_bytes(path) != text.encode():
        files.write_text(path, text)


def keep_run(store: Path, cell: str, run: str | None) -> None:
    """Note that a cell was started, or which run it became."""
    files.write_json(cell_folder(store, cell) / CELL, {"cell": cell, "run": run})


def run_of(store: Path, cell: Cell) -> Path | None:
    """Return the folder of a cell's finished run, or None.

    Raises:
        InputError: the note is damaged, or another cell's, or the run is not of this cell.
    """
    path = cell_folder(store, cell.id) / CELL
    if not files.exists(path):
        return None
    note = typed(path, files.read_json(path), Note)
    if note.cell != cell.id:
        raise InputError(f"{path}: is the note of the cell {note.cell!r}; remove it.")
    if note.run is None:
        return None
    if not NAME.fullmatch(note.run):
        raise InputError(f"{path}: {note.run!r} is no run's folder; remove {path}.")
    folder = store / note.run
    if not files.exists(folder / RECORD):
        return None
    settings = read_record(folder)["settings"]
    if told(settings) != told(resolved(cell.settings)):
        raise InputError(f"{path}: names {note.run}, a run of other settings; remove {path}.")
    return folder


def told(settings: Mapping[str, Any]) -> list[Any]:
    """Return what of a run's settings is the same before the model is loaded and after."""
    evaluate = settings.get("evaluate")
    scored = [evaluate.get("split"), evaluate.get("scope")] if isinstance(evaluate, dict) else None
    return [*(settings.get(key) for key in ("name", "seed", "method", "train")), scored]


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


def state_of(store: Path, cell: Cell) -> State:
    """Return where a cell stands, by its files alone."""
    if run_of(store, cell):
        return "finished"
    if leased(store, cell.id):
        return "started"
    if failure_of(store, cell.id):
        return "failed"
    return "started" if files.exists(cell_folder(store, cell.id) / CELL) else "waiting"
