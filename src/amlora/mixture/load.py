"""A version of a skills folder in memory, and in a model.

Each file is read once, and what is parsed was hashed. Whoever writes a file can hash it, so its
values are checked here too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from amlora import formats
from amlora.errors import InputError
from amlora.mixture.gates import Gates
from amlora.mixture.inject import inject, linear_sizes, modules_of, remove
from amlora.mixture.layer import Control
from amlora.mixture.manifest import (
    CARD,
    GATES,
    KEPT_SELECTORS,
    SCORES,
    SELECTOR,
    STAGES,
    Base,
    Manifest,
    TaskCard,
    check_scores,
)
from amlora.mixture.mixture import KEPT, Mixture
from amlora.mixture.peft_files import read_adapters
from amlora.mixture.stages import Stages
from amlora.mixture.tensors import Shape, check_tensors
from amlora.mixture.version import read_file, read_version, steadily


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
    """Read what a version needs to answer, as in "0002"; None is the one in use.

    Raises:
        InputError: names the file that is missing, truncated, altered, foreign, a link, or holds
            what no skills do.
    """
    if version is not None:
        return read_needed(folder, version)
    return steadily(folder, lambda: read_needed(folder, None))


def read_needed(folder: Path, version: str | None) -> StoredSkills:
    """Do what `read_skills` does, in a folder that nobody changes."""
    manifest = read_version(folder, version)
    tensors = read_adapters(manifest, lambda name: read_tensors(folder, manifest, name))
    tensors |= read_selectors(folder, manifest, tensors)
    stages, gates = read_chooser(folder, manifest)
    cards = read_cards(folder, manifest)
    path, scores = read_value(folder, manifest, f"{manifest.folder}/{SCORES}")
    check_scores(path, scores, len(cards))
    return StoredSkills(manifest, cards, scores, tensors, stages, gates)


def read_cards(folder: Path, manifest: Manifest) -> tuple[TaskCard, ...]:
    """Read the tasks' cards, in the order learned, each with the task's present name."""
    cards: list[TaskCard] = []
    for task in manifest.tasks:
        path, value = read_value(folder, manifest, f"{task.folder}/{CARD}")
        cards.append(formats.typed(path, value, TaskCard).replace(name=task.name))
    return tuple(cards)


def read_selectors(
    folder: Path, manifest: Manifest, loras: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Read the selectors "<layer>.w" (N, D_out), and each stage's "<layer>.kept" one after another.

    Where no attention over all LoRAs decides, "<layer>.w" is stored nowhere, and 0. `loras` are
    what `read_adapters` returned.
    """
    count, name = len(manifest.loras), f"{manifest.folder}/{SELECTOR}"
    widths = {layer: loras[f"{layer}.b"].shape[1] for layer in manifest.targets}
    if name in manifest.files:
        path, found = read_tensors(folder, manifest, name)
        shapes: dict[str, Shape] = {f"{layer}.w": (count, None) for layer in manifest.targets}
        check_tensors(path, found, shapes, manifest.dtype)
        return found
    found = {
        f"{layer}.w": loras[f"{layer}.b"].new_zeros(count, width) for layer, width in widths.items()
    }
    if not manifest.attends:
        return found
    kept: dict[str, list[Tensor]] = {f"{layer}.{KEPT}": [] for layer in manifest.targets}
    for skill in manifest.skills:
        name = f"{manifest.folder_of(skill.name)}/{KEPT_SELECTORS}"
        path, own = read_tensors(folder, manifest, name)
        team = 1 + len(skill.uses)
        shapes = {f"{layer}.{KEPT}": (team, width) for layer, width in widths.items()}
        check_tensors(path, own, shapes, manifest.dtype)
        for layer, blocks in kept.items():
            blocks.append(own[layer])
    return found | {layer: torch.cat(blocks) for layer, blocks in kept.items()}


def read_value(folder: Path, manifest: Manifest, name: str) -> tuple[Path, Any]:
    """Return the whole path of a JSON file that a manifest names, and its value."""
    return folder / name, formats.parse_json(folder / name, read_file(folder, manifest, name))


def read_tensors(folder: Path, manifest: Manifest, name: str) -> tuple[Path, dict[str, Tensor]]:
    """Return the whole path of a tensor file that a manifest names, and what it holds."""
    return folder / name, formats.parse_tensors(folder / name, read_file(folder, manifest, name))


def read_chooser(folder: Path, manifest: Manifest) -> tuple[Stages | None, Gates | None]:
    """Return what chooses among LoRAs by the prompt."""
    stages = None if manifest.stages is None else Stages(manifest.stages)
    gates = None if manifest.gates is None else Gates(manifest.gates)
    if stages is None and gates is None:
        return None, None
    name = GATES if stages is None else STAGES
    path, tensors = read_tensors(folder, manifest, f"{manifest.folder}/{name}")
    own: dict[str, Tensor] = {}
    try:
        if gates is not None:
            gates.restore(tensors, len(manifest.loras))
            own = gates.tensors()
        if stages is not None:
            stages.restore(tensors)
            check_stages(stages, len(manifest.skills))
            own = stages.tensors()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if unknown := tensors.keys() - own.keys():
        raise InputError(f"{path}: the tensor {min(unknown)!r} is unknown.")
    return stages, gates


def check_stages(stages: Stages, skills: int) -> None:
    """Refuse stages that are not one for each skill."""
    if len(stages) != skills:
        raise InputError(f"skills: {skills} of them, but {len(stages)} stages have ended.")


def load_skills(folder: Path, model: nn.Module, skills: StoredSkills, *, base: Base) -> Mixture:
    """Put what `read_skills(folder)` returned into its base model, in place and frozen.

    Args:
        folder: for the errors.
        model: without a mixture.
        base: what that model is; its hashes must be those of `manifest.base`.

    Returns:
        The mixture. On the CPU in float32 the model's answers are those of the trained one, bit for
        bit; where there are stages or gates, given the same routes (`mixture.stages` or
        `mixture.gates` makes them).

    Raises:
        InputError: the model is not the base of these skills, or a tensor is of another width than
            its layer. The model is then left without a mixture.
    """
    manifest = skills.manifest
    check_model(folder, model, manifest, base)
    control = Control(combine=manifest.combine, gain=manifest.gain, arrow=manifest.arrow)
    mixture = inject(model, manifest.targets, control)
    mixture.stages, mixture.gates = skills.stages, skills.gates
    mixture.skills = [skill.name for skill in manifest.skills]
    loras = manifest.loras
    try:
        mixture.restore(
            [lora.name for lora in loras],
            [lora.rank for lora in loras],
            [lora.alpha for lora in loras],
            skills.tensors,
            stages=len(manifest.skills) if manifest.attends else 0,
            teams=manifest.teams(),
        )
    except InputError as error:
        remove(model, mixture)
        raise InputError(f"{folder}: version {manifest.version}: {error}") from None
    return mixture


def check_model(folder: Path, model: nn.Module, manifest: Manifest, found: Base) -> None:
    """Refuse a model without an adapted layer, or with other weights or another tokenizer."""
    base = manifest.base
    modules = modules_of(model)
    for name in manifest.targets:
        if linear_sizes(modules.get(name, nn.Module())) is None:
            raise InputError(
                f"{folder}: the model has no plain linear layer {name!r}; these skills belong to"
                f" {base.name!r} ({base.model_type})."
            )
    for what, ours, theirs in (
        ("weights have", found.fingerprint, base.fingerprint),
        ("tokenizer has", found.tokenizer, base.tokenizer),
    ):
        if ours != theirs:
            raise InputError(
                f"{folder}: the model is not the one that these skills were trained on,"
                f" {base.name!r}: its {what} the fingerprint {ours[:12]}, not {theirs[:12]}."
            )
