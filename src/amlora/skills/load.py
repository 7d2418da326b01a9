"""Load a model with its skills, and save them: `amlora.load` and `amlora.save`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from amlora.engine.backbone import Backbone, base_of
from amlora.engine.load import load_backbone, resolve_device
from amlora.engine.route import Router
from amlora.engine.settings import Device, Precision
from amlora.errors import InputError
from amlora.mixture.gates import Gates
from amlora.mixture.load import load_skills, read_skills
from amlora.mixture.manifest import Base, Manifest, TaskCard
from amlora.mixture.mixture import Mixture
from amlora.mixture.save import save_skills
from amlora.skills.find import find_skills
from amlora.skills.loading import Loading
from amlora.skills.turn import Borrowed, Turn

ATTRIBUTE = "amlora"
"""Where a model keeps its `LoadedSkills`."""


@dataclass
class LoadedSkills:
    """What a model has learned; a loaded model keeps it as `model.amlora`."""

    mixture: Mixture
    base: Base
    tasks: tuple[TaskCard, ...]
    """In the order learned."""
    scores: Mapping[str, Any]
    """Plain values, as in `scores.json`."""
    router: Router | None = None
    """Tells the stages of prompts, where each stage's model is kept, or gates where LoRAs have."""
    manifest: Manifest | None = None
    """Of the version that was loaded; None of what was trained."""


def load(
    folder: str | Path,
    *,
    base: str | Path | None = None,
    version: str | None = None,
    device: Device | None = None,
    precision: Precision = "auto",
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a base model with its skills in place.

    Every file that is used is checked against its hash first, and the base model, all weights and
    the tokenizer, against its fingerprints. The model answers without a task id; `model.generate`
    and pipelines work as usual. Where each stage's model was kept, the prompt's ids tell which one
    answers; where LoRAs have gates, how far these are open.
    `model.amlora` holds the mixture, the tasks' cards and the scores.

    `model.save_pretrained` and `model.push_to_hub` are refused on the loaded model: the adapted
    layers' weights have other names there, so what they write would load with those layers random.
    `amlora.save` writes the skills; the base model is unchanged and stays where it is.

    Args:
        folder: a skills folder, a run's folder, or a hub id ("name/repository", "@revision" may
            follow) of the same layout.
        base: where the base model is, if not where the folder says: a folder or a hub id.
        version: an older version, as in "0002"; None for the one in use.
        device: None for a GPU where there is one.
        precision: of the arithmetic; "auto" is bfloat16 where the device has it. Answers repeat bit
            for bit in "float32" on the CPU.
        trust_remote_code: run Python code that comes with the base model.

    Returns:
        The model in eval mode and its tokenizer.

    Raises:
        InputError: the folder holds no skills, a file is damaged, or the base model is missing or
            another one.
    """
    backbone, _ = open_skills(
        folder,
        base=base,
        version=version,
        device=device,
        precision=precision,
        trust_remote_code=trust_remote_code,
    )
    return backbone.model, backbone.tokenizer


def save(model: nn.Module, folder: str | Path, *, scores: Mapping[str, Any] | None = None) -> str:
    """Save a model's skills as a new version of a skills folder and make it the one in use.

    Args:
        model: came from `load`, or was given its skills by `attach`.
        folder: the skills folder; made if missing. Saving what it holds already writes nothing.
        scores: to store with them, plain values; None for those that were loaded.

    Returns:
        The version, as in "0002".

    Raises:
        InputError: the model holds no skills, or the folder is damaged or written by another
            process.
    """
    skills = skills_of(model)
    return save_skills(
        Path(folder).expanduser(),
        skills.mixture,
        base=skills.base,
        tasks=skills.tasks,
        scores=skills.scores if scores is None else scores,
    )


def open_skills(
    folder: str | Path,
    *,
    base: str | Path | None = None,
    version: str | None = None,
    device: Device | None = None,
    precision: Precision = "auto",
    trust_remote_code: bool = False,
) -> tuple[Backbone, LoadedSkills]:
    """Do what `load` does, and return what evaluation and prediction need besides the model."""
    resolve_device(device or "auto")  # so that its fault is not told as one of the base
    path = find_skills(folder)
    stored = read_skills(path, version)
    known = stored.manifest.base
    place = None if base is None else str(base)
    how = Loading(place, device or "auto", precision, trust_remote_code)
    try:
        backbone = load_backbone(how.settings(known))
    except InputError as error:
        raise InputError(f"{path}: its base model: {error} Another place: base=...") from error
    mixture = load_skills(path, backbone.model, stored, base=base_of(backbone))
    backbone.routing, router = mixture.control.routing, None
    chooses = mixture.gates if mixture.stages is None else mixture.stages
    if chooses is not None:
        borrowed = Borrowed(backbone)
        router = Router(borrowed, chooses)
        found = len(router.vector([0]))  # a model may lack so many layers
        if found != chooses.width:
            kind = f"{'gates' if isinstance(chooses, Gates) else 'stages'} of width {chooses.width}"
            raise InputError(f"{path}: {kind}, but the model's prompts have vectors of {found}.")
        Turn(borrowed, router).attach()
    # The base as the folder names it, also where this machine has it elsewhere.
    manifest = stored.manifest
    skills = LoadedSkills(mixture, known, stored.cards, stored.scores, router, manifest)
    attach(backbone.model, skills)
    return backbone, skills


def attach(model: nn.Module, skills: LoadedSkills) -> None:
    """Let a model that a mixture is in know its skills, so that `save` can write them.

    Of a trained one they are `LoadedSkills(mixture, base_of(backbone), tasks, scores)`.
    """
    vars(model)[ATTRIBUTE] = skills
    vars(model)["save_pretrained"] = refuse_save_pretrained


def skills_of(model: nn.Module) -> LoadedSkills:
    """Return what a model has learned, or an InputError where it holds no skills."""
    skills = vars(model).get(ATTRIBUTE)
    if not isinstance(skills, LoadedSkills):
        raise InputError(f"{type(model).__name__}: holds no skills; load them with amlora.load.")
    return skills


def refuse_save_pretrained(*_: object, **__: object) -> NoReturn:
    """Stand for `save_pretrained` on a model with skills: refuse it."""
    raise InputError(
        "save_pretrained: would write a model that does not load again; amlora.save(model, folder)"
        " writes the skills, and the base model is unchanged."
    )
