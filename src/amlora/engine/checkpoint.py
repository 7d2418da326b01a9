"""Checkpoints: all that a killed run needs to go on bit for bit.

A checkpoint is two tensor files, the rows of every evaluation so far, and `current.json`, which
names them with their hashes and is written last: it is the commit. Tensor files of the checkpoint
before are removed after that.
"""

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from amlora import files, formats
from amlora.engine.train import StageProgress
from amlora.errors import InputError
from amlora.methods.base import State
from amlora.records.schema import Evaluated, Share, StageFacts, Unrelated

COMMIT = "current.json"
FORMAT = 3
Phase = Literal["begin", "train"]
"""Of a stage. begin: nothing of it is done. train: `begin` is done and its row evaluated."""
Count = Annotated[int, Field(ge=0, lt=2**53)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Matrix = list[list[Share | None]]
NAME = r"(state|moments)-([0-9]{1,9})\.safetensors"


class Part(BaseModel):
    """What all parts of a commit have in common."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class TensorFile(Part):
    """A tensor file of a checkpoint."""

    file: Annotated[str, Field(pattern=f"^{NAME}$")]
    sha256: Sha256
    size: Count
    """In bytes."""


class RunProgress(Part):
    """What a run has found so far; filled as it goes on."""

    R: Matrix = []
    entered: Matrix = []
    stages: list[StageFacts] = []
    evaluation: list[Evaluated] = []
    general: list[Unrelated] = []
    rows: list[Sha256] = []
    """What `write_rows` returned for each evaluation."""
    seconds: dict[str, Seconds] = {}
    scored_rows: Count = 0
    prefill_seconds: Seconds = 0.0
    trainable: Count = 0
    """Parameters of the stage in progress."""
    environments: list[dict[str, Any]] = []


class TensorFiles(Part):
    """The files that hold a checkpoint's tensors."""

    state: TensorFile
    moments: TensorFile


class Checkpoint(Part):
    """Where a run stands."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    stage: Count
    """Index of the stage in progress; the number of stages when only the end is left."""
    phase: Phase
    """What of that stage is done."""
    values: dict[str, Any]
    tensors: Annotated[dict[str, Tensor], Field(exclude=True)] = {}
    """With `values` the method's state; they have a file of their own."""
    progress: RunProgress
    within: StageProgress
    """Empty outside of "train"."""
    environment: dict[str, Any]
    """Versions and threads that decide the last bits of results."""
    facts: dict[str, Any]
    """What else decides the run's result, by words for it."""

    @property
    def state(self) -> State:
        """The method's."""
        return State(self.tensors, self.values)


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint by this one."""
    files.make_folder(folder)
    files.sweep(folder)
    old = [match for path in folder.iterdir() if (match := re.fullmatch(NAME, path.name))]
    number = 1 + max((int(match[2]) for match in old), default=0)
    parts: dict[str, dict[str, Any]] = {}
    for kind, tensors in (
        ("state", checkpoint.tensors),
        ("moments", checkpoint.within.moments),
    ):
        path, data = folder / f"{kind}-{number}.safetensors", files.tensor_bytes(tensors, {})
        files.write_bytes(path, data)
        parts[kind] = {"file": path.name, "size": len(data), "sha256": files.sha256_bytes(data)}
    value = {"format": FORMAT, "tensors": parts, **checkpoint.model_dump()}
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
        if value.pop("format", None) != FORMAT:
            raise InputError(f"{path}: not a checkpoint of format {FORMAT}.")
        del value[formats.DIGEST]
        parts = formats.typed(path, value.pop("tensors", None), TensorFiles)
        found = formats.typed(path, value, Checkpoint)
        found.tensors = read_tensors(folder, parts.state)
        found.within.moments = read_tensors(folder, parts.moments)
        read_rows(folder, found.progress.rows)
    return found


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
    """
    within, progress, rows = found.within, found.progress, found.progress.R
    training = found.phase == "train"
    last = len(steps) - training
    most = steps[found.stage] if training and found.stage <= last else 0
    if found.stage > last:
        wrong = f"stage {found.stage} ({found.phase}), but there are {len(steps)} stages"
    elif within.step > most:
        wrong = f"step {within.step}, but stage {found.stage} ({found.phase}) has {most}"
    elif len(within.losses) != within.step:
        wrong = f"{len(within.losses)} losses of {within.step} steps"
    elif len(progress.stages) != found.stage or len(rows) != found.stage + 1:
        wrong = f"{len(rows)} rows of R at stage {found.stage}"
    elif found.stage == len(steps) and not all(
        progress.seconds.get(phase) for phase in ("train", "evaluate")
    ):
        wrong = "no seconds of training or evaluation at the end"
    elif others := [row for row in (*rows, *progress.entered) if len(row) != tasks]:
        wrong = f"a row of R with {len(others[0])} values, but there are {tasks} tasks"
    else:
        return
    raise InputError(f"{folder / COMMIT}: {wrong}.")


def read_tensors(folder: Path, entry: TensorFile) -> dict[str, Tensor]:
    """Read one of a checkpoint's tensor files after checking its hash.

    Raises:
        InputError: it is missing, altered, or holds values that are no numbers.
    """
    path = folder / entry.file
    if files.exists(path) and path.stat().st_size != entry.size:
        raise InputError(f"{path}: altered since it was written: its size is another.")
    tensors = files.read_tensors(path, sha256=entry.sha256)
    for name, tensor in tensors.items():
        if tensor.isnan().any():
            raise InputError(f"{path}: {name}: holds values that are no numbers.")
    return tensors


def write_rows(folder: Path, number: int, text: str) -> str:
    """Write the rows of the evaluation of that number, 1 for the first; return their sha256."""
    files.make_folder(folder)
    files.write_text(rows_path(folder, number), text)
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
