"""Save a mixture as a new version of a skills folder; the layout is told in `manifest.py`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import Tensor

from amlora import files
from amlora.errors import InputError
from amlora.mixture.bank import check_scale
from amlora.mixture.cards import folder_readme, version_readme
from amlora.mixture.load import check_stages, read_cards
from amlora.mixture.manifest import (
    CARD,
    CONFIG,
    CURRENT,
    GATES,
    KEPT_SELECTORS,
    README,
    SCORES,
    SELECTOR,
    STAGES,
    WEIGHTS,
    Base,
    Manifest,
    StoredFile,
    StoredLoRA,
    StoredSkill,
    StoredTask,
    TaskCard,
    check_scores,
)
from amlora.mixture.mixture import KEPT, Mixture
from amlora.mixture.peft_files import PYTORCH, adapter_files
from amlora.mixture.tensors import Dtype
from amlora.mixture.version import read_current, read_version, verify
from amlora.mixture.write import (
    Contents,
    card_bytes,
    listed,
    next_version,
    task_folder,
    tidy,
    with_content,
    write_version,
)


class Place(NamedTuple):
    """The folder of a LoRA, of a task, or of both."""

    path: str
    files: dict[str, StoredFile]
    contents: Contents
    """To be written; nothing where the version in use has the folder already."""


def save_skills(
    folder: Path,
    mixture: Mixture,
    *,
    base: Base,
    tasks: Sequence[TaskCard],
    scores: Mapping[str, Any],
) -> str:
    """Write a new version and make it the one in use.

    A LoRA and a task of the same name share a folder; either may be without the other (one LoRA for
    all tasks, an imported LoRA). Saving what is in use already writes nothing, and what lies beside
    a LoRA that the version in use has too stays there.

    Args:
        folder: made if missing.
        mixture: no LoRA of it may still be on its way in (`control.newcomer`).
        base: the model under it.
        tasks: in the order learned.
        scores: plain values; "R" and "metrics" as in a run's record are shown in the model card.

    Returns:
        The version, as in "0001".

    Raises:
        InputError: two LoRAs or two tasks have one name, there is no LoRA, the newest is still
            learned, the folder is damaged or written by another process, or scores do not fit the
            tasks.
    """
    check_mixture(mixture, tasks)
    check_scores("scores", scores, len(tasks))
    with files.lock(folder):
        tidy(folder)
        used = read_version(folder) if files.exists(folder / CURRENT) else None
        loras, cards = places_of(folder, used, mixture, base, tasks)
        places = {place.path: place for place in [*loras.values(), *cards.values()]}
        own = version_files(mixture, scores)
        draft = Manifest(
            version=next_version(folder),
            previous=None if used is None else read_current(folder),
            content="",
            base=base,
            combine=mixture.control.combine,
            gain=mixture.control.gain,
            dtype=cast(Dtype, str(next(iter(mixture.tensors().values())).dtype)[len("torch.") :]),
            targets=tuple(mixture.layers),
            loras=tuple(
                StoredLoRA(name=name, rank=rank, alpha=float(alpha), folder=loras[name].path)
                for name, rank, alpha in zip(mixture.names, *mixture.shapes(), strict=True)
            ),
            tasks=tuple(StoredTask(name=name, folder=place.path) for name, place in cards.items()),
            skills=skills_of(mixture),
            files={name: file for place in places.values() for name, file in place.files.items()},
            arrow=mixture.control.arrow,
            stages=None if mixture.stages is None else mixture.stages.settings,
            gates=None if mixture.gates is None else mixture.gates.settings,
        )
        draft = with_content(draft, own)
        if used is not None and used.content == draft.content:
            return verify(folder).version
        own[README] = version_readme(draft, tasks, scores).encode()
        new = {path: place.contents for path, place in places.items() if place.contents}
        return write_version(folder, draft, new, own, publish=True).version


def check_mixture(mixture: Mixture, tasks: Sequence[TaskCard]) -> None:
    """Refuse what could not be told apart or read back, by an InputError."""
    if not len(mixture):
        raise InputError("skills: the mixture has no LoRA yet; learn a task first.")
    if mixture.control.newcomer:
        raise InputError(f"skills: the LoRA {mixture.names[-1]!r} is still on its way in.")
    if mixture.stages is not None:
        check_stages(mixture.stages, len(mixture.stage_names))
    assert mixture.gates is None or len(mixture.gates) == len(mixture)
    for name, rank, alpha in zip(mixture.names, *mixture.shapes(), strict=True):
        try:
            check_scale(alpha, rank)
        except ValueError as error:
            raise InputError(f"skills: the LoRA {name!r}: {error}") from None
    for kind, names in (("LoRAs", mixture.names), ("tasks", [task.name for task in tasks])):
        if twice := {name for name in names if names.count(name) > 1}:
            raise InputError(f"skills: two {kind} are named {min(twice)!r}; names must differ.")


def skills_of(mixture: Mixture) -> tuple[StoredSkill, ...]:
    """Return the stages of a mixture, none where it has none."""
    if mixture.stages is None:
        return ()
    names = mixture.names
    teams = mixture.teams or [tuple(range(1 + place)) for place in range(len(names))]
    return tuple(
        StoredSkill(name=name, lora=names[own], uses=tuple(names[place] for place in uses))
        for name, (*uses, own) in zip(mixture.stage_names, teams, strict=True)
    )


def places_of(
    folder: Path,
    used: Manifest | None,
    mixture: Mixture,
    base: Base,
    tasks: Sequence[TaskCard],
) -> tuple[dict[str, Place], dict[str, Place]]:
    """Return the folders of all LoRAs and of all tasks, each by its name.

    A task shares the folder of the LoRA that is its skill's own, or that is called the same.
    """
    cards = {task.name: task for task in tasks}
    stages = {skill.lora: (stage, skill) for stage, skill in enumerate(skills_of(mixture), 1)}
    known = {} if used is None else dict(zip(used.tasks, read_cards(folder, used), strict=True))
    of_loras: dict[str, Place] = {}
    of_tasks: dict[str, Place] = {}
    for index, name in enumerate(mixture.names):
        stage, skill = stages.get(name, (0, None))
        card = cards.get(name if skill is None else skill.name)
        contents = lora_files(mixture, index, base, card, stage, skill)
        place = None if used is None else found(used, name, contents, card, known)
        if place is None:
            path = task_folder(1 + index, name if card is None else card.name, contents)
            place = Place(path, listed({path: contents}), contents)
        of_loras[name] = place
        if card is not None:
            of_tasks[card.name] = place
    alone = [name for name in cards if name not in of_tasks]
    for number, name in enumerate(alone, 1 + len(of_loras)):
        contents = {CARD: card_bytes(cards[name])}
        contents[README] = folder_readme(name, base, mixture.control.way, None).encode()
        path = task_folder(number, name, contents)
        of_tasks[name] = Place(path, listed({path: contents}), contents)
    return of_loras, {name: of_tasks[name] for name in cards}


def lora_files(
    mixture: Mixture,
    index: int,
    base: Base,
    card: TaskCard | None,
    stage: int,
    skill: StoredSkill | None,
) -> Contents:
    """Return the files of a LoRA's folder; it may be a task's too, and the own one of a stage."""
    ranks, alphas = mixture.shapes()
    tensors = mixture.lora(index)
    contents = adapter_files(base, tuple(mixture.layers), ranks[index], alphas[index], tensors)
    if card is not None:
        contents[CARD] = card_bytes(card)
    if skill is not None and mixture.control.combine == "attention":
        layers = mixture.layers.items()
        kept = {f"{name}.{KEPT}": layer.bank.kept_of(stage) for name, layer in layers}
        contents[KEPT_SELECTORS] = files.tensor_bytes(kept, PYTORCH)
    title = mixture.names[index] if card is None else card.name
    shape, uses = (ranks[index], alphas[index]), None if skill is None else skill.uses
    readme = folder_readme(title, base, mixture.control.way, shape, uses=uses)
    contents[README] = readme.encode()
    return contents


def found(
    used: Manifest,
    name: str,
    contents: Contents,
    card: TaskCard | None,
    known: Mapping[StoredTask, TaskCard],
) -> Place | None:
    """Return the folder that a LoRA has in the version in use, None if it is another there.

    What lies beside it, as a skill's kept rows, and what its README says, are left as they are.
    """
    lora = next((lora for lora in used.loras if lora.name == name), None)
    if lora is None:
        return None
    own = {path: file for path, file in used.files.items() if path.startswith(f"{lora.folder}/")}
    for file in (CONFIG, WEIGHTS, KEPT_SELECTORS):
        stated, data = own.get(f"{lora.folder}/{file}"), contents.get(file)
        if (None if stated is None else stated.sha256) != (data and files.sha256_bytes(data)):
            return None
    cards = [card for task, card in known.items() if task.folder == lora.folder]
    return Place(lora.folder, own, {}) if cards == ([] if card is None else [card]) else None


def version_files(mixture: Mixture, scores: Mapping[str, Any]) -> Contents:
    """Return the files of a version's own folder, but for its README and its manifest."""
    tensors: dict[str, Mapping[str, Tensor]] = {}
    if mixture.stages is not None:
        tensors[STAGES] = mixture.stages.tensors()
    elif mixture.gates is not None:
        tensors[GATES] = mixture.gates.tensors()
    elif mixture.control.way == "attention":
        tensors[SELECTOR] = {f"{name}.w": layer.bank.w for name, layer in mixture.layers.items()}
    own = {name: files.tensor_bytes(held, PYTORCH) for name, held in tensors.items()}
    return {**own, SCORES: files.json_bytes(scores)}
