"""A version of a skills folder in memory: each file is read once, and what is parsed was hashed.

Whoever writes a file can hash it, so its values are checked here too, all but the widths that only
the base model tells; `io.load_skills` compares these.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from amlora import formats
from amlora.errors import InputError
from amlora.mixture.cards import check_scores
from amlora.mixture.folders import check_stages
from amlora.mixture.gates import Gates
from amlora.mixture.manifest import (
    CARD,
    CONFIG,
    GATES,
    README,
    SCORES,
    SELECTOR,
    STAGES,
    Manifest,
    TaskCard,
    read_file,
    read_version,
)
from amlora.mixture.mixture import KEPT
from amlora.mixture.peft_files import read_adapters
from amlora.mixture.stages import Stages
from amlora.mixture.tensors import Shape, check_tensors


@dataclass(frozen=True)
class StoredSkills:
    """All that a version holds."""

    manifest: Manifest
    cards: tuple[TaskCard, ...]
    """In the order learned."""
    scores: dict[str, Any]
    tensors: dict[str, Tensor]
    """As `Mixture.restore` takes them."""
    stages: Stages | None
    gates: Gates | None


def read_skills(folder: Path, version: str | None = None) -> StoredSkills:
    """Read every file of a version.

    Args:
        folder: holds CURRENT.
        version: as in "0002"; None for the one in use.

    Raises:
        InputError: names the file that is missing, truncated, altered, foreign, a link, or holds
            what no skills do.
    """
    manifest = read_version(folder, version)
    tensors = read_adapters(folder, manifest)
    path, selectors = read_tensors(folder, manifest, SELECTOR)
    shapes: dict[str, Shape] = {
        f"{name}.w": (len(manifest.loras), None) for name in manifest.targets
    }
    check_tensors(path, selectors, shapes, manifest.dtype)
    stages, kept = read_stages(folder, manifest)
    skills = StoredSkills(
        manifest=manifest,
        cards=read_cards(folder, manifest),
        scores=read_scores(folder, manifest),
        tensors={**tensors, **selectors, **kept},
        stages=stages,
        gates=read_gates(folder, manifest),
    )
    for name in manifest.files:
        if name.endswith((CONFIG, README)):  # for other readers
            read_file(folder, manifest, name)
    return skills


def read_cards(folder: Path, manifest: Manifest) -> tuple[TaskCard, ...]:
    """Read the tasks' cards, in the order learned.

    Raises:
        InputError: names a card that is altered, or none.
    """
    cards: list[TaskCard] = []
    for task in manifest.tasks:
        name = f"{task.folder}/{CARD}"
        data = read_file(folder, manifest, name)
        card = formats.typed(folder / name, formats.parse_json(folder / name, data), TaskCard)
        if card.name != task.name:
            raise InputError(f"{folder / name}: is the card of {card.name!r}, not {task.name!r}.")
        cards.append(card)
    return tuple(cards)


def read_scores(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """Read the scores that the version was saved with.

    Raises:
        InputError: they are altered, or do not fit the tasks.
    """
    name = f"versions/{manifest.version}/{SCORES}"
    scores = formats.parse_json(folder / name, read_file(folder, manifest, name))
    check_scores(folder / name, scores, len(manifest.tasks))
    return scores


def read_tensors(folder: Path, manifest: Manifest, name: str) -> tuple[Path, dict[str, Tensor]]:
    """Return the path of a version's tensor file, and what it holds."""
    own = f"versions/{manifest.version}/{name}"
    return folder / own, formats.parse_tensors(folder / own, read_file(folder, manifest, own))


def read_stages(folder: Path, manifest: Manifest) -> tuple[Stages | None, dict[str, Tensor]]:
    """Return the statistic of stages, and "<layer>.kept" selectors where attention decides.

    Raises:
        InputError: a tensor is missing, unknown, or not what it should be.
    """
    if manifest.stages is None:
        return None, {}
    path, tensors = read_tensors(folder, manifest, STAGES)
    stages, loras = Stages(manifest.stages), len(manifest.loras)
    own = stages.tensors().keys()
    kept = {name: tensor for name, tensor in tensors.items() if name not in own}
    shapes: dict[str, Shape] = {}
    if manifest.combine == "attention":
        rows = loras * (loras + 1) // 2
        shapes = {f"{name}.{KEPT}": (rows, None) for name in manifest.targets}
    check_tensors(path, kept, shapes, manifest.dtype)
    with within(path):
        stages.restore(tensors)
        check_stages(stages, loras)
    return stages, kept


def read_gates(folder: Path, manifest: Manifest) -> Gates | None:
    """Return the gates, one per LoRA.

    Raises:
        InputError: a tensor is missing, unknown, or not what it should be.
    """
    if manifest.gates is None:
        return None
    path, tensors = read_tensors(folder, manifest, GATES)
    gates = Gates(manifest.gates)
    with within(path):
        gates.restore(tensors, len(manifest.loras))
    if unknown := tensors.keys() - gates.tensors().keys():
        raise InputError(f"{path}: the tensor {min(unknown)!r} is unknown.")
    return gates


@contextmanager
def within(path: Path) -> Generator[None]:
    """Put a file's path before the error of what it holds."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
