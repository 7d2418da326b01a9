"""What a `learn` begins with: the version in use, if there is one, and the base model."""

from collections.abc import Sequence
from pathlib import Path

from amlora import files
from amlora.engine.settings import ModelSettings
from amlora.errors import InputError, nearest
from amlora.mixture.inject import find_targets
from amlora.mixture.stages import StageSettings
from amlora.mixture.version import in_use, read_version
from amlora.skills.bench import Bench
from amlora.skills.facts import Facts, read_facts
from amlora.skills.loading import Loading
from amlora.skills.settings import LearnSettings

BUILT_IN = "smollm2-135m"
"""The base model of a folder for which none is named."""


def read_before(
    folder: Path, name: str, model: str | None, settings: LearnSettings, *, update: bool
) -> Facts | None:
    """Read the version in use, None where there is none, and check that a skill may be added.

    Raises:
        InputError: the name is taken, or with `update` is not there; another base model is asked
            for, or another way to combine or length of prompts; or the version is damaged.
    """
    if not files.exists(folder) or in_use(folder) is None:
        if update:
            raise InputError(f"{folder}: --update: there is no skill yet.")
        return None
    manifest = read_version(folder)
    names = [skill.name for skill in manifest.skills]
    there = {each.lower(): each for each in names}.get(name.lower())
    if update and name not in names:
        close = nearest(name, names) or f"; skills: {', '.join(names)}."
        raise InputError(f"{folder}: --update: no skill {name!r}{close}")
    if there is not None and not update:
        raise InputError(
            f"{folder}: the skill {there!r} is there already; --update learns it anew."
        )
    if model is not None and model != manifest.base.name:
        raise InputError(
            f"{folder}: its base model is {manifest.base.name!r}, not {model!r};"
            " where it was moved, --base says where it is."
        )
    if manifest.combine != settings.combine:
        raise InputError(
            f"{folder}: its skills combine by {manifest.combine!r}, not"
            f" {settings.combine!r}; one folder has one way."
        )
    worded = None if manifest.stages is None else manifest.stages.words
    if settings.prompts not in (None, worded):
        raise InputError(
            f"{folder}: prompts: it tells prompts worded as {worded!r}, not {settings.prompts!r};"
            " one folder has one way."
        )
    known, asked = manifest.base.max_tokens, settings.max_tokens
    if asked not in (known, LearnSettings().max_tokens):
        raise InputError(
            f"{folder}: max_tokens: its prompts have at most {known} tokens, not {asked}; one"
            " folder has one length."
        )
    return read_facts(folder, manifest)


def open_bench(
    folder: Path, before: Facts | None, model: str | None, settings: LearnSettings, how: Loading
) -> Bench:
    """Load a folder's base model, or that asked for where it is new, and take what was learned.

    An InputError if there are skills already, and other layers are to be adapted than theirs.
    """
    if before is not None:
        bench = Bench.of(folder, before.manifest.version, how)
        check_targets(folder, bench, settings.lora.targets)
        return bench
    base = how.base or model or BUILT_IN
    loaded = ModelSettings(
        name=base,
        device=how.device,
        precision=how.precision,
        trust_remote_code=how.trust_remote_code,
        max_tokens=settings.max_tokens,
    )
    return Bench.new(
        loaded,
        targets=settings.lora.targets,
        combine=settings.combine,
        stages=router_settings(settings),
    )


def check_targets(folder: Path, bench: Bench, asked: Sequence[str]) -> None:
    """Refuse targets, other than the default ones, that are not those of a folder's skills."""
    if asked == LearnSettings().lora.targets:
        return
    model = bench.backbone.model
    if {*find_targets(model, model.config.model_type, asked)} != {*bench.targets}:
        raise InputError(
            f"{folder}: lora.targets: its skills adapt {', '.join(bench.endings)}, and not the"
            f" layers that {', '.join(asked)} stands for; the skills of one folder adapt the same."
        )


def router_settings(settings: LearnSettings) -> StageSettings:
    """Return how a new folder's prompts are told apart: what won beyond noise in docs/router.md."""
    any_words = settings.prompts == "any"
    return StageSettings(
        mixing="hard",
        temperature=3.0 if any_words else 1.0,
        reject=0.01 if any_words else 0.001,
        covariance="full",
        shrinkage=0.1,
        words="any" if any_words else "asked",
        tokens="root",
    )
