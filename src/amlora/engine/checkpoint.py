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

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from amlora import files, formats
from amlora.engine.train import StageProgress
from amlora.errors import InputError
from amlora.methods.base import State
from amlora.records.schema import Evaluated, Share, StageFacts, Unrelated

COMMIT = "current.json"
FORMAT = 2
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


class Within(Part):
    """A `StageProgress` without the optimiser's state."""

    step: Count
    losses: list[float]
    tokens: Count
    terms: dict[str, float]


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


class Commit(Part):
    """The contents of `current.json`."""

    format: int
    stage: Count
    phase: Phase
    values: dict[str, Any]
    progress: RunProgress
    within: Within
    environment: dict[str, Any]
    facts: dict[str, Any]
    state: TensorFile
    moments: TensorFile
    digest: Sha256


@dataclass
class Checkpoint:
    """Where a run stands.

    Attributes:
        stage: index of the stage in progress; the number of stages when only the end is left.
        phase: what of that stage is done.
        state: the method's.
        progress: of the run.
        within: of the stage; empty outside of "train".
        environment: versions and threads that decide the last bits of results.
        facts: what else decides the run's result, by words for it.
    """

    stage: int
    phase: Phase
    state: State
    progress: RunProgress
    within: StageProgress
    environment: dict[str, Any]
    facts: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint by this one."""
    files.make_folder(folder)
    files.sweep(folder)
    old = [match for path in folder.iterdir() if (match := re.fullmatch(NAME, path.name))]
    number = 1 + max((int(match[2]) for match in old), default=0)

    def write(kind: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
        path, data = folder / f"{kind}-{number}.safetensors", files.tensor_bytes(tensors, {})
        files.write_bytes(path, data)
        return {"file": path.name, "size": len(data), "sha256": files.sha256_bytes(data)}

    within = checkpoint.within
    value = {
        "format": FORMAT,
        "stage": checkpoint.stage,
        "phase": checkpoint.phase,
        "values": checkpoint.state.values,
        "progress": checkpoint.progress.model_dump(),
        "within": {name: getattr(within, name) for name in Within.model_fields},
        "environment": checkpoint.environment,
        "facts": checkpoint.facts,
        "state": write("state", checkpoint.state.tensors),
        "moments": write("moments", within.moments),
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
        state = State(read_tensors(folder, commit.state), commit.values)
        moments = read_tensors(folder, commit.moments)
        read_rows(folder, commit.progress.rows)
    within = StageProgress(**dict(commit.within), moments=moments)
    return Checkpoint(
        stage=commit.stage,
        phase=commit.phase,
        state=state,
        progress=commit.progress,
        within=within,
        environment=commit.environment,
        facts=commit.facts,
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
