"""The manifest of one version of a skills folder: what the version is, and what each file must be.

    CURRENT                     "<version> <sha256 of its manifest>", replaced in one step
    tasks/NN-name-hash8/        adapter_config.json, adapter_model.safetensors, task.json,
                                README.md, and of a skill learned.json, kept.jsonl,
                                kept.safetensors, selectors.safetensors, where there are such
    versions/0001/              manifest.json, scores.json, README.md, stages.safetensors where a
                                prompt's stage is told, gates.safetensors where each LoRA has a
                                gate, selector.safetensors where attention alone decides

Versions are a tree: a manifest names the one that it was made from. It is sealed by a digest of its
own, vouches for every other file of its version, and for the manifest before it; CURRENT vouches
for that of the version in use. A version that neither is in use nor came before that is a
candidate.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PositiveInt

from amlora import formats
from amlora.errors import InputError, nearest
from amlora.mixture.arrow import Arrow, Way
from amlora.mixture.bank import check_scale
from amlora.mixture.gates import GateSettings
from amlora.mixture.reference import Combine
from amlora.mixture.stages import StageSettings
from amlora.mixture.tensors import Dtype
from amlora.settings import Many, Settings

FORMAT = 5
"""Raised when something is read otherwise."""
CURRENT = "CURRENT"
MANIFEST, SELECTOR, SCORES = "manifest.json", "selector.safetensors", "scores.json"
CONFIG, WEIGHTS, CARD = "adapter_config.json", "adapter_model.safetensors", "task.json"
STAGES, GATES = "stages.safetensors", "gates.safetensors"
LEARNED, KEPT_ROWS, KEPT_VECTORS = "learned.json", "kept.jsonl", "kept.safetensors"
KEPT_SELECTORS = "selectors.safetensors"
EXTRA = (LEARNED, KEPT_ROWS, KEPT_VECTORS)
"""What may lie beside a skill's LoRA and is not needed to answer; `records/skills.py`."""
README = "README.md"
LONGEST_SLUG = 40
TASK_FOLDER = re.compile(rf"tasks/[0-9]{{2,9}}-[a-z0-9-]{{1,{LONGEST_SLUG}}}-[0-9a-f]{{8}}")


class Base(Settings):
    """The pretrained model under the skills."""

    name: str
    """A built-in name, a folder, a GGUF file or an id on the hub."""
    revision: str
    """The hub's commit, or "" for a folder."""
    family: Literal["encoder-decoder", "decoder-only"]
    model_type: str
    """`config.model_type`."""
    fingerprint: str
    """sha256 over all its weights."""
    tokenizer: str
    """sha256 over what decides a text's ids and where an answer ends."""
    gguf_file: str = ""
    """A GGUF file inside `name`."""
    max_tokens: Annotated[int, Field(ge=1, le=2**31 - 1)] = 512
    """The longest prompt of the training, in tokens."""


class TaskCard(Settings):
    """The words around a task's texts: all that `streams/prompt.py` needs to ask for it.

    And which columns of a table become its texts.
    """

    name: str
    instruction: str
    options: Many[str]
    """The allowed answers; empty means free text."""
    cue: str = "Answer:"
    show_options: bool = True
    category: str = ""
    dataset: str = ""
    """What the `Dataset:` prefix names; empty means the task's name."""
    prefix: Literal["off", "task", "task+dataset"] = "off"
    form: Literal["full", "blind"] = "full"
    text_column: str = "text"
    """The column of the task's tables that holds the text."""
    forms: Many[str] = ()
    """How the text is put together from several columns; see `streams/rows.py`."""


class StoredLoRA(Settings):
    """One LoRA of the mixture."""

    name: str
    """A learned skill's is the last part of its folder."""
    rank: PositiveInt
    alpha: float
    """Its outputs are multiplied by alpha / rank."""
    folder: str
    """tasks/NN-name-hash8."""

    def check(self) -> None:
        """Refuse an alpha that no LoRA of this rank can be used at."""
        check_scale(self.alpha, self.rank)


class StoredTask(Settings):
    """One task that was learned; its card is in its folder, alone or beside its own LoRA."""

    name: str
    """What it is called in this version; its card may still have an older name."""
    folder: str


class StoredSkill(Settings):
    """One stage: the LoRAs that answer a prompt which is told to be its own."""

    name: str
    """What it is called in this version."""
    lora: str
    """The name of its own LoRA."""
    uses: Many[str]
    """The names of those that it was learned on top of, in that order."""


class StoredFile(Settings):
    """What a file must be."""

    size: int
    """In bytes."""
    sha256: str


class Previous(Settings):
    """The version that this one was made from."""

    version: str
    sha256: str
    """Of its manifest."""


class Manifest(Settings):
    """One version."""

    format: int = FORMAT
    """Any other is refused."""
    version: str
    """As in "0003"."""
    previous: Previous | None
    """The version that this one was made from, and the sha256 of its manifest."""
    content: str
    """sha256 over everything but the version's number and the one before it."""
    base: Base
    """The pretrained model under the LoRAs."""
    combine: Combine
    """How the outputs of LoRAs that answer together are combined."""
    gain: bool
    """Whether the mixture of n LoRAs is multiplied by n + 1."""
    dtype: Dtype
    """Of the LoRAs and selectors."""
    targets: Many[str]
    """The adapted layers, in the model's order."""
    loras: Many[StoredLoRA]
    """Oldest first."""
    tasks: Many[StoredTask]
    """In the order in which they were learned."""
    skills: Many[StoredSkill]
    """One per stage, in their order; none where all LoRAs answer everything."""
    files: dict[str, StoredFile]
    """Every file of the version and of its tasks' folders, by path from the skills folder."""
    arrow: Arrow | None
    """Where set, LoRAs are chosen by their prototypes, and `combine` does not count."""
    stages: StageSettings | None
    """How a prompt's stage is told; null where all LoRAs answer everything."""
    gates: GateSettings | None
    """The form of the gates, one per LoRA; null where LoRAs have none."""

    def check(self) -> None:
        """Refuse what could not be put into a model."""
        if not (self.loras and self.targets):
            raise ValueError("there must be at least one LoRA, and one layer in targets.")
        for kind, names in (
            ("loras", [lora.name for lora in self.loras]),
            ("tasks", [task.name for task in self.tasks]),
            ("skills", [skill.name for skill in self.skills]),
            ("skills", [skill.lora for skill in self.skills]),
            ("targets", list(self.targets)),
        ):
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise ValueError(f"{kind}: {twice[0]!r} is there twice.")
        if sum(way is not None for way in (self.arrow, self.stages, self.gates)) > 1:
            raise ValueError("at most one of arrow, stages and gates may be set.")
        if (self.stages is None) != (not self.skills):
            raise ValueError("skills: there must be some where stages are set, and else none.")
        known = {lora.name for lora in self.loras}
        for skill in self.skills:
            team = [*skill.uses, skill.lora]
            if unknown := [name for name in team if name not in known]:
                raise ValueError(f"skills: {skill.name!r} has no LoRA {unknown[0]!r}.")
            if len(set(team)) < len(team):
                raise ValueError(f"skills: {skill.name!r} has a LoRA twice.")

    @property
    def way(self) -> Way:
        """How the LoRAs are combined."""
        return self.combine if self.arrow is None else "arrow"

    @property
    def folder(self) -> str:
        """The path of the version's own folder."""
        return f"versions/{self.version}"

    @property
    def attends(self) -> bool:
        """Whether each stage has selectors of its own."""
        return self.stages is not None and self.combine == "attention"

    def teams(self) -> list[tuple[int, ...]]:
        """Return the places of each stage's LoRAs, as `Mixture.teams` takes them."""
        places = {lora.name: place for place, lora in enumerate(self.loras)}
        return [tuple(places[n] for n in (*each.uses, each.lora)) for each in self.skills]

    def folder_of(self, skill: str) -> str:
        """Return the path of a skill's own folder; an InputError names the nearest match."""
        own = {each.name: each.lora for each in self.skills}
        if skill not in own:
            known = nearest(skill, own) or f"; there are {', '.join(own) or 'none'}."
            raise InputError(f"version {self.version}: no skill {skill!r}{known}")
        return next(lora.folder for lora in self.loras if lora.name == own[skill])

    def folders(self) -> dict[str, set[str]]:
        """Return the names of the files, without the manifest, that each folder must hold.

        A task's folder may hold what its skill has besides: `OPTIONAL`.
        """
        own = {SCORES, README}
        alone = self.way == "attention" and not (self.stages or self.gates)
        for name, has in ((STAGES, self.stages), (GATES, self.gates), (SELECTOR, alone)):
            own |= {name} if has else set()
        names = {self.folder: own}
        for lora in self.loras:
            names.setdefault(lora.folder, {README}).update({CONFIG, WEIGHTS})
        for task in self.tasks:
            names.setdefault(task.folder, {README}).add(CARD)
        if self.attends:
            stages = {skill.lora for skill in self.skills}
            for lora in self.loras:
                names[lora.folder] |= {KEPT_SELECTORS} if lora.name in stages else set()
        return names


OPTIONAL = {CARD, KEPT_SELECTORS, *EXTRA}
"""Files that a task's folder may hold also where a version does not need them: folders never change
and are shared."""


class Scores(BaseModel):
    """The scores that a model card shows; others may stand beside them."""

    R: list[list[float | None]] = []
    metrics: dict[str, float | None] = {}


def check_scores(where: Path | str, scores: Any, tasks: int) -> None:
    """Refuse scores that no model card could show, or no JSON file hold, by an InputError.

    They are no object of plain values, a row of "R" has not one number per task, or a metric is
    none.
    """
    try:
        formats.json_bytes(scores)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: no plain values: {error}.") from None
    for index, row in enumerate(formats.typed(where, scores, Scores).R):
        if len(row) != tasks:
            raise InputError(f"{where}: row {index} of R: {len(row)} values, {tasks} tasks.")
