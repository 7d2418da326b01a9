"""Checkpoints: all that a killed run needs to go on bit for bit.

A checkpoint is two tensor files, the rows of every evaluation so far, and `current.json`, which
names them with their hashes and is written last: it is the commit. Tensor files of the checkpoint
before are removed after that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from amlora import files
from amlora.errors import InputError
from amlora.methods.base import State

COMMIT = "current.json"
FORMAT = 1
Phase = Literal["begin", "train"]
"""Of a stage. begin: nothing of it is done. train: `begin` is done and its row evaluated."""


@dataclass
class Checkpoint:
    """Where a run stands.

    Attributes:
        stage: index of the stage in progress; the number of stages when only the end is left.
        phase: what of that stage is done.
        state: the method's.
        moments: the optimiser's state, empty outside of "train".
        progress: plain values of the run (matrix, losses, counts; "rows": what `write_rows` said).
        environment: versions and threads that decide the last bits of results.
    """

    stage: int
    phase: Phase
    state: State
    moments: dict[str, Tensor]
    progress: dict[str, Any]
    environment: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint by this one."""
    files.make_folder(folder)
    files.sweep(folder)
    old = {path.name for path in folder.glob("*.safetensors")}
    number = 1 + max((int(name.rsplit("-", 1)[1].split(".")[0]) for name in old), default=0)
    stored: dict[str, dict[str, Any]] = {}
    for kind, tensors in (("state", checkpoint.state.tensors), ("moments", checkpoint.moments)):
        path = folder / f"{kind}-{number}.safetensors"
        stored[kind] = {"file": path.name, "sha256": files.write_tensors(path, tensors, {})}
    value = {
        "format": FORMAT,
        "stage": checkpoint.stage,
        "phase": checkpoint.phase,
        "values": checkpoint.state.values,
        "progress": checkpoint.progress,
        "environment": checkpoint.environment,
        "files": stored,
    }
    files.write_sealed(folder / COMMIT, value)
    for name in old:
        files.remove(folder / name)


def load(folder: Path) -> Checkpoint | None:
    """Return the folder's checkpoint, or None where there is none.

    Raises:
        InputError: a file is missing, of another format, or not what was written.
    """
    if not files.exists(folder / COMMIT):
        return None
    try:
        value = files.read_sealed(folder / COMMIT)
        if value.get("format") != FORMAT:
            raise InputError(f"{folder / COMMIT}: not a checkpoint of format {FORMAT}.")
        tensors = {kind: read_tensors(folder, entry) for kind, entry in value["files"].items()}
        read_rows(folder, value["progress"]["rows"])
    except InputError as error:
        raise InputError(f"{error} Delete {folder} to start the run over.") from error
    return Checkpoint(
        stage=value["stage"],
        phase=value["phase"],
        state=State(tensors["state"], value["values"]),
        moments=tensors["moments"],
        progress=value["progress"],
        environment=value["environment"],
    )


def read_tensors(folder: Path, entry: Mapping[str, str]) -> dict[str, Tensor]:
    """Read one of a checkpoint's tensor files after checking its hash."""
    return files.read_tensors(files.inside(folder, entry["file"]), sha256=entry["sha256"])


def write_rows(folder: Path, number: int, text: str) -> str:
    """Write the rows of the evaluation of that number, 1 for the first; return their sha256."""
    files.make_folder(folder)
    path = rows_path(folder, number)
    files.write_text(path, text)
    return files.sha256_bytes(text.encode())


def read_rows(folder: Path, hashes: Sequence[str]) -> bytes:
    """Return the rows of all evaluations, given what `write_rows` returned for each.

    Raises:
        InputError: a file is missing or not what was written.
    """
    parts: list[bytes] = []
    for number, expected in enumerate(hashes, 1):
        path = rows_path(folder, number)
        try:
            parts.append(files.read_bytes(path))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file.") from None
        if files.sha256_bytes(parts[-1]) != expected:
            raise InputError(f"{path}: altered since it was written: its sha256 is another.")
    return b"".join(parts)


def rows_path(folder: Path, number: int) -> Path:
    """Return the place of one evaluation's rows."""
    return folder / f"rows-{number:04}.jsonl"
