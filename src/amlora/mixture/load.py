"""A version of a skills folder in memory, and in a model.

Each file is read once, and what is parsed was hashed. Whoever writes a file can hash it, so its
values are checked here too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from amlora import formats
from amlora.errors import InputError
from amlora.mixture.gates import Gates
from amlora.mixture.inject import inject, linear_sizes, modules_of, remove
from amlora.mixture.layer import Control
from amlora.mixture.manifest import (
    CARD,
    CONFIG,
    GATES,
    README,
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
from amlora.mixture.version import read_file, read_version


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
    """Read every file of a version, as in "0002"; None is the one in use.

    Raises:
        InputError: names the file that is missing, truncated, altered, foreign, a link, or holds
            what no skills do.
    """
    manifest = read_version(folder, version)
    loras = len(manifest.loras)
    tensors = read_adapters(manifest, lambda name: read_tensors(folder, manifest, name))
    path, selectors = read_tensors(folder, manifest, f"{manifest.folder}/{SELECTOR}")
    shapes = {f"{name}.w": (loras, None) for name in manifest.targets}
    check_tensors(path, selectors, shapes, manifest.dtype)
    stages, gates, kept = read_chooser(folder, manifest)
    cards = read_cards(folder, manifest)
    path, scores = read_value(folder, manifest, f"{manifest.folder}/{SCORES}")
    check_scores(path, scores, len(cards))
    for name in manifest.files:
        if name.endswith((CONFIG, README)):  # for other readers
            read_file(folder, manifest, name)
    return StoredSkills(manifest, cards, scores, tensors | selectors | kept, stages, gates)


def read_cards(folder: Path, manifest: Manifest) -> tuple[TaskCard, ...]:
    """Read the tasks' cards, in the order learned; refuse one that is altered, or none."""
    cards: list[TaskCard] = []
    for task in manifest.tasks:
        path, value = read_value(folder, manifest, f"{task.folder}/{CARD}")
        card = formats.typed(path, value, TaskCard)
        if card.name != task.name:
            raise InputError(f"{path}: is the card of {card.name!r}, not {task.name!r}.")
        cards.append(card)
    return tuple(cards)


def read_value(folder: Path, manifest: Manifest, name: str) -> tuple[Path, Any]:
    """Return the whole path of a JSON file that a manifest names, and its value."""
    return folder / name, formats.parse_json(folder / name, read_file(folder, manifest, name))


def read_tensors(folder: Path, manifest: Manifest, name: str) -> tuple[Path, dict[str, Tensor]]:
    """Return the whole path of a tensor file that a manifest names, and what it holds."""
    return folder / name, formats.parse_tensors(folder / name, read_file(folder, manifest, name))


def read_chooser(
    folder: Path, manifest: Manifest
) -> tuple[Stages | None, Gates | None, dict[str, Tensor]]:
    """Return what chooses among LoRAs by the prompt, and "<layer>.kept" selectors of stages."""
    stages = None if manifest.stages is None else Stages(manifest.stages)
    gates = None if manifest.gates is None else Gates(manifest.gates)
    if stages is None and gates is None:
        return None, None, {}
    name = GATES if stages is None else STAGES
    path, tensors = read_tensors(folder, manifest, f"{manifest.folder}/{name}")
    own: dict[str, Tensor] = {}
    loras, shapes = len(manifest.loras), dict[str, Shape]()
    try:
        if gates is not None:
            gates.restore(tensors, loras)
            own = gates.tensors()
        if stages is not None:
            stages.restore(tensors)
            check_stages(stages, loras)
            own = stages.tensors()
            if manifest.combine == "attention":
                rows = loras * (loras + 1) // 2
                shapes = {f"{layer}.{KEPT}": (rows, None) for layer in manifest.targets}
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    kept = {name: tensors[name] for name in tensors.keys() - own.keys()}
    check_tensors(path, kept, shapes, manifest.dtype)
    return stages, gates, kept


def check_stages(stages: Stages, loras: int) -> None:
    """Refuse a mixture in which not every LoRA has a stage that has ended."""
    if len(stages) != loras:
        raise InputError(f"skills: {loras} LoRAs, but {len(stages)} stages have ended.")


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
    loras = manifest.loras
    attends = skills.stages is not None and manifest.combine == "attention"
    try:
        mixture.restore(
            [lora.name for lora in loras],
            [lora.rank for lora in loras],
            [lora.alpha for lora in loras],
            skills.tensors,
            stages=len(loras) if attends else 0,
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
