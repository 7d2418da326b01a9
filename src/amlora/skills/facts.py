"""The facts of one version of a skills folder: what each skill was, and which rows go astray.

They are read apart from the weights, so that reports need no model.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from amlora import files, formats
from amlora.errors import InputError
from amlora.mixture.manifest import (
    KEPT_ROWS,
    KEPT_VECTORS,
    LEARNED,
    SCORES,
    Manifest,
    TaskCard,
)
from amlora.mixture.version import read_file, read_task_file
from amlora.records.skills import KeptRow, Learned, Standing
from amlora.records.states import State, state_of
from amlora.streams.prompt import Prompt, build_prompt
from amlora.streams.task import Task

VECTOR = "vectors"
"""The name of the tensor in KEPT_VECTORS."""


@dataclass(frozen=True)
class Kept:
    """What is kept of a skill's rows; with "vectors" there are vectors and no rows."""

    rows: tuple[KeptRow, ...] = ()
    vectors: Tensor | None = None
    """(rows, D) of the prompts, as the router reads them; None where nothing is kept."""

    @property
    def names(self) -> list[str]:
        """The rows' ids, made up where their texts were not kept."""
        count = 0 if self.vectors is None else len(self.vectors)
        return [row.row for row in self.rows] or [f"vector:{place}" for place in range(count)]

    @property
    def stated(self) -> tuple[KeptRow, ...] | int:
        """The rows, or the number of their vectors."""
        return self.rows or len(self.names)

    def files(self) -> dict[str, bytes]:
        """Return it as the files of a skill's folder."""
        found: dict[str, bytes] = {}
        if self.rows:
            lines = [files.line(row.model_dump(mode="json")) + "\n" for row in self.rows]
            found[KEPT_ROWS] = "".join(lines).encode()
        if self.vectors is not None:
            found[KEPT_VECTORS] = files.tensor_bytes({VECTOR: self.vectors}, {})
        return found


@dataclass(frozen=True)
class Facts:
    """One version, without its weights."""

    manifest: Manifest
    standing: Standing | None
    """None where the folder was not made by `learn`."""
    learned: dict[str, Learned]
    """By skill; those that `learn` did not make are not in it."""
    kept: dict[str, Kept]
    """By skill, of all skills."""

    def state(self) -> State:
        """Return what the version answers, of those skills that `learn` made.

        An InputError if a row is said to go astray that no skill keeps.
        """
        kept = {name: self.kept[name].stated for name in self.learned}
        return state_of(self.learned, kept, self.standing.astray if self.standing else ())


Beside = tuple[Learned | None, Kept]
"""What lies beside a skill's LoRA."""


def read_facts(folder: Path, manifest: Manifest, known: dict[str, Beside] | None = None) -> Facts:
    """Read what a version says of its skills.

    Args:
        folder: of skills.
        manifest: of the version.
        known: what was read of other versions by the skills' folders, which versions share; what is
            read now is put there too.

    Raises:
        InputError: names the file that is missing, altered, or holds what no skill does.
    """
    place = f"{manifest.folder}/{SCORES}"
    scores = formats.parse_json(folder / place, read_file(folder, manifest, place))
    standing = None
    if isinstance(scores, dict) and "gate" in scores:
        standing = formats.typed(folder / place, scores, Standing)
    known = {} if known is None else known
    learned: dict[str, Learned] = {}
    kept: dict[str, Kept] = {}
    for skill in manifest.skills:
        own = manifest.folder_of(skill.name)
        if own not in known:
            known[own] = read_beside(folder, manifest, skill.name)
        told, kept[skill.name] = known[own]
        if told is not None:
            learned[skill.name] = told
    facts = Facts(manifest, standing, learned, kept)
    try:
        facts.state()
    except InputError as error:
        raise InputError(f"{folder / place}: {error}") from None
    return facts


def read_beside(folder: Path, manifest: Manifest, skill: str) -> Beside:
    """Read what lies beside a skill's LoRA."""
    data = read_task_file(folder, manifest, skill, LEARNED)
    where = f"{folder}: {skill}: {LEARNED}"
    told = None
    if data is not None:
        told = formats.typed(where, formats.parse_json(where, data), Learned)
    kept = read_kept(
        f"{folder}: {skill}",
        read_task_file(folder, manifest, skill, KEPT_ROWS),
        read_task_file(folder, manifest, skill, KEPT_VECTORS),
    )
    return told, kept


def read_kept(where: str, lines: bytes | None, tensors: bytes | None) -> Kept:
    """Parse a skill's kept rows and vectors; an InputError where they do not fit each other."""
    rows: list[KeptRow] = []
    for number, line in enumerate((lines or b"").splitlines(), 1):
        place = f"{where}: {KEPT_ROWS}: line {number}"
        rows.append(formats.typed(place, formats.parse_json(place, line), KeptRow))
    if twice := [row for row, count in Counter(row.row for row in rows).items() if count > 1]:
        raise InputError(f"{where}: {KEPT_ROWS}: row {twice[0]!r} is there twice.")
    if tensors is None:
        if rows:
            raise InputError(f"{where}: {KEPT_ROWS}, but no {KEPT_VECTORS}.")
        return Kept()
    held = formats.parse_tensors(f"{where}: {KEPT_VECTORS}", tensors)
    vectors = held.get(VECTOR)
    if vectors is None or len(held) > 1 or vectors.ndim != 2 or vectors.dtype != torch.float32:
        raise InputError(f"{where}: {KEPT_VECTORS}: must hold {VECTOR!r} (rows, D) float32 alone.")
    if not vectors.isfinite().all():
        raise InputError(f"{where}: {KEPT_VECTORS}: must be finite.")
    if rows and len(rows) != len(vectors):
        raise InputError(
            f"{where}: {len(rows)} rows in {KEPT_ROWS}, {len(vectors)} in {KEPT_VECTORS}."
        )
    return Kept(tuple(rows), vectors)


def task_of(card: TaskCard) -> Task:
    """Return a task without rows, for the words around its texts."""
    words = {name: value for name, value in card if name not in ("prefix", "form")}
    return Task(train=(), dev=(), test=(), **words)


def prompt_of(card: TaskCard, text: str) -> Prompt:
    """Put a text into a skill's words."""
    return build_prompt(task_of(card), text, prefix=card.prefix, form=card.form)
