"""Checkpoints: all that a killed run needs to go on bit for bit.

A checkpoint is two tensor files, the rows of every evaluation so far, and `current.json`, which
names them with their hashes and is written last: it is the commit. Tensor files of the checkpoint
before are removed after that.
"""

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from torch import Tensor

from amlora import files, formats
from amlora.errors import InputError
from amlora.methods.base import State

COMMIT = "current.json"
FORMAT = 1
Phase = Literal["begin", "train"]
"""Of a stage. begin: nothing of it is done. train: `begin` is done and its row evaluated."""
Count = Annotated[int, Meta(ge=0, lt=2**53)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Matrix = list[list[Annotated[float, Meta(ge=0, le=1)] | None]]
OURS = re.compile(r"(state|moments)-([0-9]{1,9})\.safetensors")


class Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor file of a checkpoint."""

    file: str
    sha256: Sha256
    size: Count | None = None
    """In bytes; None in checkpoints that were written before it was noted."""

    def __post_init__(self) -> None:
        """Check the name."""
        if not OURS.fullmatch(self.file):
            raise ValueError(f"file: {self.file!r} is no name of ours.")


class Files(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Both tensor files."""

    state: Stored
    moments: Stored


class Within(msgspec.Struct, frozen=True):
    """Where the stage in progress stands."""

    step: Count
    losses: list[float]
    tokens: Count
    terms: dict[str, float]


class Ended(msgspec.Struct, frozen=True):
    """What is told of a stage that has ended; there may be more."""

    task: str
    steps: Count
    rows: Count
    tokens: Count
    trainable_parameters: Count
    stored_parameters: Count
    stored_examples: Count
    losses: list[float]


class Measured(msgspec.Struct, frozen=True):
    """What a run has measured so far; there may be more."""

    R: Matrix
    entered: Matrix
    stages: list[Ended]
    evaluation: list[dict[str, Any]]
    rows: list[Sha256]
    seconds: dict[str, Seconds]
    scored_rows: Count
    prefill_seconds: Seconds
    trainable: Count
    environments: list[dict[str, Any]]
    stage: Within
    general: list[dict[str, Any]] = []


class Commit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of `current.json`."""

    format: int
    stage: Count
    phase: Phase
    values: dict[str, Any]
    progress: Measured
    environment: dict[str, Any]
    files: Files
    digest: Sha256


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
    old = [match for path in folder.iterdir() if (match := OURS.fullmatch(path.name))]
    number = 1 + max((int(match[2]) for match in old), default=0)
    stored: dict[str, dict[str, Any]] = {}
    for kind, tensors in (("state", checkpoint.state.tensors), ("moments", checkpoint.moments)):
        path = folder / f"{kind}-{number}.safetensors"
        data = files.tensor_bytes(tensors, {})
        files.write_bytes(path, data)
        found = {"file": path.name, "size": len(data), "sha256": files.sha256_bytes(data)}
        stored[kind] = found
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
    for match in old:
        files.remove(folder / match[0])


def load(folder: Path) -> Checkpoint | None:
    """Return the folder's checkpoint, or None where there is none.

    Raises:
        InputError: a file is missing, of another format, not what was written, or holds what no
            checkpoint does.
    """
    path = folder / COMMIT
    if not files.exists(path):
        return None
    with blamed(folder):
        value = files.read_sealed(path)
        if value.get("format") != FORMAT:
            raise InputError(f"{path}: not a checkpoint of format {FORMAT}.")
        commit = formats.typed(path, value, Commit)
        state, moments = (
            read_tensors(folder, of) for of in (commit.files.state, commit.files.moments)
        )
        read_rows(folder, commit.progress.rows)
    return Checkpoint(
        stage=commit.stage,
        phase=commit.phase,
        state=State(state, commit.values),
        moments=moments,
        progress=value["progress"],
        environment=commit.environment,
    )


@contextmanager
def blamed(folder: Path) -> Generator[None]:
    """Let an error of what a checkpoint holds say how to go on without it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{error} Delete {folder} to start the run over.") from error


def check_place(folder: Path, found: Checkpoint, steps: Sequence[int], tasks: int) -> None:
    """Refuse a checkpoint that stands where its run has no place, or whose counts disagree.

    Args:
        folder: the checkpoint's.
        found: what `load` returned.
        steps: of each of the run's stages.
        tasks: how many are scored: the columns of R.

    Raises:
        InputError: names the place.
    """
    within, rows = found.progress["stage"], found.progress["R"]
    training, timed = found.phase == "train", found.progress["seconds"]
    last = len(steps) - training
    most = steps[found.stage] if training and found.stage <= last else 0
    if found.stage > last:
        told = f"stage {found.stage} ({found.phase}), but there are {len(steps)} stages"
    elif within["step"] > most:
        told = f"step {within['step']}, but stage {found.stage} ({found.phase}) has {most}"
    elif len(within["losses"]) != within["step"]:
        told = f"{len(within['losses'])} losses of {within['step']} steps"
    elif len(found.progress["stages"]) != found.stage or len(rows) != found.stage + 1:
        told = f"{len(rows)} rows of R at stage {found.stage}"
    elif found.stage == len(steps) and not all(timed.get(k) for k in ("train", "evaluate")):
        told = "no seconds of training or evaluation at the end"
    elif wrong := [row for row in (*rows, *found.progress["entered"]) if len(row) != tasks]:
        told = f"a row of R with {len(wrong[0])} values, but there are {tasks} tasks"
    else:
        return
    raise InputError(f"{folder / COMMIT}: {told}.")


def read_tensors(folder: Path, entry: Stored) -> dict[str, Tensor]:
    """Read one of a checkpoint's tensor files after checking its hash.

    Raises:
        InputError: it is missing, altered, or holds values that are no numbers.
    """
    path = folder / entry.file
    if entry.size is not None and files.exists(path) and path.stat().st_size != entry.size:
        raise InputError(f"{path}: altered since it was written: its size is another.")
    tensors = files.read_tensors(path, sha256=entry.sha256)
    for name, tensor in tensors.items():
        if tensor.isnan().any():
            raise InputError(f"{path}: {name}: holds values that are no numbers.")
    return tensors


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
            parts.append(files.read_bytes(path, most=files.MOST))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file.") from None
        if files.sha256_bytes(parts[-1]) != expected:
            raise InputError(f"{path}: altered since it was written: its sha256 is another.")
    return b"".join(parts)


def rows_path(folder: Path, number: int) -> Path:
    """Return the place of one evaluation's rows."""
    return folder / f"rows-{number:04}.jsonl"
