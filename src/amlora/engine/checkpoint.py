"""Checkpoints: all that a killed run needs to go on bit for bit.

A checkpoint is two tensor files and `current.json`, which names them with their hashes and is
written last: it is the commit. Files of the checkpoint before are removed after that.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from amlora import files
from amlora.errors import InputError
from amlora.methods.base import State

COMMIT = "current.json"
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
        progress: plain values of the run (matrix, losses, counts).
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
    folder.mkdir(parents=True, exist_ok=True)
    files.sweep(folder)
    old = {path.name for path in folder.glob("*.safetensors")}
    number = 1 + max((int(name.rsplit("-", 1)[1].split(".")[0]) for name in old), default=0)
    stored: dict[str, dict[str, Any]] = {}
    for kind, tensors in (("state", checkpoint.state.tensors), ("moments", checkpoint.moments)):
        path = folder / f"{kind}-{number}.safetensors"
        files.write_tensors(path, tensors, {})
        stored[kind] = {"file": path.name, "sha256": files.sha256_file(path)}
    value = {
        "stage": checkpoint.stage,
        "phase": checkpoint.phase,
        "values": checkpoint.state.values,
        "progress": checkpoint.progress,
        "environment": checkpoint.environment,
        "files": stored,
    }
    files.write_json(folder / COMMIT, {**value, "sha256": files.digest(value)})
    for name in old:
        (folder / name).unlink(missing_ok=True)


def load(folder: Path) -> Checkpoint | None:
    """Return the folder's checkpoint, or None where there is none.

    Raises:
        InputError: a file is missing or not what was written.
    """
    if not (folder / COMMIT).exists():
        return None
    value = files.read_json(folder / COMMIT)
    if not isinstance(value, dict) or value.pop("sha256", None) != files.digest(value):
        raise InputError(f"{folder / COMMIT}: altered since it was written; delete {folder}.")
    tensors: dict[str, dict[str, Tensor]] = {}
    for kind, entry in value["files"].items():
        path = files.inside(folder, entry["file"])
        if not path.exists() or files.sha256_file(path) != entry["sha256"]:
            raise InputError(f"{path}: missing or altered since it was written; delete {folder}.")
        tensors[kind] = files.read_tensors(path)
    return Checkpoint(
        stage=value["stage"],
        phase=value["phase"],
        state=State(tensors["state"], value["values"]),
        moments=tensors["moments"],
        progress=value["progress"],
        environment=value["environment"],
    )
