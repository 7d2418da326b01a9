"""What goes into the folders of LoRAs and tasks, and into the one of a version."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from torch import Tensor

from amlora import files
from amlora.errors import InputError
from amlora.mixture.bank import check_scale
from amlora.mixture.cards import folder_readme
from amlora.mixture.manifest import (
    CARD,
    LONGEST_SLUG,
    README,
    Base,
    Contents,
    StoredFile,
    StoredLoRA,
    StoredTask,
    TaskCard,
)
from amlora.mixture.mixture import Mixture
from amlora.mixture.peft_files import adapter_files
from amlora.mixture.stages import Stages

Folders = dict[str, tuple[str, Contents]]
"""By the name of a LoRA or task: the folder's path in the skills folder, and its files."""


def check_mixture(mixture: Mixture, tasks: Sequence[TaskCard]) -> None:
    """Refuse what could not be told apart or read back.

    Raises:
        InputError: there is no LoRA, one is not fully in or its stage has not ended, one's alpha is
            out of range, or two LoRAs or tasks have one name.
    """
    if not len(mixture):
        raise InputError("skills: the mixture has no LoRA yet; learn a task first.")
    if mixture.control.newcomer:
        raise InputError(f"skills: the LoRA {mixture.names[-1]!r} is still on its way in.")
    if mixture.stages is not None:
        check_stages(mixture.stages, len(mixture))
    assert mixture.gates is None or len(mixture.gates) == len(mixture)
    for name, rank, alpha in zip(mixture.names, *mixture.shapes(), strict=True):
        try:
            check_scale(alpha, rank)
        except ValueError as error:
            raise InputError(f"skills: the LoRA {name!r}: {error}") from None
    for kind, names in (("LoRAs", mixture.names), ("tasks", [task.name for task in tasks])):
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise InputError(f"skills: two {kind} are named {min(twice)!r}; names must differ.")


def check_stages(stages: Stages, loras: int) -> None:
    """Refuse a mixture in which not every LoRA has a stage that has ended.

    Raises:
        InputError: naming both numbers.
    """
    if len(stages) != loras:
        raise InputError(f"skills: {loras} LoRAs, but {len(stages)} stages have ended.")


def task_folders(mixture: Mixture, base: Base, tasks: Sequence[TaskCard]) -> Folders:
    """Return the folder of each LoRA and task; its path ends in a hash of its files."""
    cards = {task.name: task for task in tasks}
    ranks, alphas = mixture.shapes()
    folders: Folders = {}
    for number, name in enumerate(dict.fromkeys([*mixture.names, *cards]), 1):
        contents: Contents = {}
        rank = alpha = None
        if name in mixture.names:
            index = mixture.names.index(name)
            rank, alpha = ranks[index], alphas[index]
            contents |= adapter_files(mixture, index, base)
        if name in cards:
            contents[CARD] = card_bytes(cards[name])
        readme = folder_readme(name, base, mixture.control.way, rank, alpha)
        contents[README] = readme.encode()
        content = {file: files.sha256_bytes(data) for file, data in contents.items()}
        path = f"tasks/{number:02}-{slug(name)}-{files.digest(content)[:8]}"
        folders[name] = path, contents
    return folders


def card_bytes(card: TaskCard) -> bytes:
    """Return a card's file; columns are in it where they are not the usual one."""
    plain: dict[str, object] = card.model_dump(mode="json")
    if card.text_column == "text":
        del plain["text_column"]
    if not card.forms:
        del plain["forms"]
    return files.json_bytes(plain)


def entries(
    mixture: Mixture, tasks: Sequence[TaskCard], folders: Folders
) -> tuple[tuple[StoredLoRA, ...], tuple[StoredTask, ...]]:
    """Return the manifest's lists of LoRAs and of tasks."""
    loras = [
        StoredLoRA(name=name, rank=rank, alpha=float(alpha), folder=folders[name][0])
        for name, rank, alpha in zip(mixture.names, *mixture.shapes(), strict=True)
    ]
    cards = [StoredTask(name=task.name, folder=folders[task.name][0]) for task in tasks]
    return tuple(loras), tuple(cards)


def selectors(mixture: Mixture) -> dict[str, Tensor]:
    """Return "<layer>.w" (N, D_out) of every layer."""
    return {f"{name}.w": layer.bank.w for name, layer in mixture.layers.items()}


def stage_tensors(mixture: Mixture) -> dict[str, Tensor]:
    """Return the statistic of stages and, where attention decides, "<layer>.kept" selectors."""
    assert mixture.stages is not None
    kept = mixture.kept() if mixture.control.combine == "attention" else {}
    return {**mixture.stages.tensors(), **kept}


def listed(folders: Mapping[str, Contents]) -> dict[str, StoredFile]:
    """Return what the manifest says of all files of some folders, given by path."""
    return {
        f"{path}/{name}": StoredFile(size=len(data), sha256=files.sha256_bytes(data))
        for path, contents in folders.items()
        for name, data in contents.items()
    }


def slug(name: str) -> str:
    """Return a name that is safe in a path: lower-case letters, digits and single dashes."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_SLUG].strip("-") or "task"
