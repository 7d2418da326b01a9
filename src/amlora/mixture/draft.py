"""A version of learned skills in the making: add, replace, remove, rename, then write it.

A skill is a LoRA, the LoRAs that it was learned on top of, and the words around its texts. Its own
LoRA is called what its folder is, so that the skill may get another name without its LoRA being
written again. A LoRA whose skill was removed or replaced stays as long as another skill uses it.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from amlora import files, formats
from amlora.errors import InputError, nearest
from amlora.mixture.bank import check_scale
from amlora.mixture.cards import folder_readme, version_readme
from amlora.mixture.load import check_stages
from amlora.mixture.manifest import (
    CARD,
    EXTRA,
    KEPT_ROWS,
    KEPT_SELECTORS,
    LEARNED,
    README,
    SCORES,
    STAGES,
    Base,
    Manifest,
    Previous,
    StoredFile,
    StoredLoRA,
    StoredSkill,
    StoredTask,
    TaskCard,
    check_scores,
)
from amlora.mixture.mixture import KEPT
from amlora.mixture.peft_files import PYTORCH, adapter_files
from amlora.mixture.reference import Combine
from amlora.mixture.stages import Stages, StageSettings
from amlora.mixture.tensors import Dtype, Shape, check_tensors
from amlora.mixture.version import read_file
from amlora.mixture.write import (
    Contents,
    card_bytes,
    entry_of,
    listed,
    next_version,
    task_folder,
    tidy,
    with_content,
    write_version,
)

NUMBER = re.compile(r"tasks/([0-9]+)-")


class Draft:
    """Skills, tasks and LoRAs as in the manifest to be; nothing is written before `write`."""

    def __init__(
        self,
        base: Base,
        *,
        targets: Sequence[str],
        dtype: Dtype,
        combine: Combine,
        gain: bool,
        stages: StageSettings,
    ) -> None:
        self.base = base
        self.targets = tuple(targets)
        self.dtype: Dtype = dtype
        self.combine: Combine = combine
        self.gain = gain
        self.stages = stages
        self.skills: list[StoredSkill] = []
        self.tasks: list[StoredTask] = []
        self.loras: list[StoredLoRA] = []
        self.fresh: dict[str, Contents] = {}  # tasks' folders that are to be written, by path
        self.parent: tuple[Manifest, Previous] | None = None

    @classmethod
    def new(
        cls,
        base: Base,
        *,
        targets: Sequence[str],
        dtype: Dtype,
        combine: Combine,
        gain: bool,
        stages: StageSettings,
    ) -> "Draft":
        """Begin a first version, without skills.

        Args:
            base: the model under them.
            targets: the adapted layers, in the model's order.
            dtype: of the LoRAs.
            combine: "sum", or "attention": each skill then has selectors of its team.
            gain: with attention, whether the mixture of a team of n is multiplied by n + 1.
            stages: how a prompt's skill is told.
        """
        return cls(base, targets=targets, dtype=dtype, combine=combine, gain=gain, stages=stages)

    @classmethod
    def of(cls, folder: Path, manifest: Manifest) -> "Draft":
        """Begin a version that follows one of a folder, with all its skills.

        An InputError if it is a run's that tells no prompts apart, so that nothing can be added.
        """
        if manifest.stages is None:
            raise InputError(
                f"{folder}: version {manifest.version} holds LoRAs that all answer every prompt;"
                " skills need a folder of their own."
            )
        draft = cls(
            manifest.base,
            targets=manifest.targets,
            dtype=manifest.dtype,
            combine=manifest.combine,
            gain=manifest.gain,
            stages=manifest.stages,
        )
        draft.skills, draft.tasks = list(manifest.skills), list(manifest.tasks)
        draft.loras = list(manifest.loras)
        draft.parent = manifest, entry_of(folder, manifest.version)
        return draft

    def add(
        self,
        card: TaskCard,
        *,
        rank: int,
        alpha: float,
        tensors: Mapping[str, Tensor],
        uses: Sequence[str],
        extra: Mapping[str, bytes],
    ) -> None:
        """Add a skill behind the others.

        Args:
            card: the words around its texts; the skill is called what the card is.
            rank, alpha: of its own LoRA.
            tensors: of each layer "<layer>.a" (R, D_in) and "<layer>.b" (R, D_out); with attention
                "<layer>.kept" too (n, D_out), the selectors of the n LoRAs used and its own.
            uses: the skills that it was learned on top of, in that order; a LoRA that is left of a
                skill which is there no more is named itself.
            extra: what is kept beside the LoRA, by the names in `EXTRA`.

        Raises:
            InputError: the name is taken, a skill it uses is unknown, or a tensor does not fit.
        """
        if card.name in self.names():
            raise InputError(f"skill {card.name!r}: there is one already; update it, or rename it.")
        skill, task = self.stored(card, rank, alpha, tensors, uses, extra)
        self.skills.append(skill)
        self.tasks.append(task)

    def replace(
        self,
        card: TaskCard,
        *,
        rank: int,
        alpha: float,
        tensors: Mapping[str, Tensor],
        uses: Sequence[str],
        extra: Mapping[str, bytes],
    ) -> None:
        """Put a skill in the place of the one of the same name; the rest is as in `add`.

        What others learned on top of the old one stays theirs, and the new one may use it too.
        """
        old = self.skills[self.place(card.name)]
        skill, task = self.stored(card, rank, alpha, tensors, uses, extra)
        self.skills = [skill if each is old else each for each in self.skills]
        self.tasks = [task if each.name == card.name else each for each in self.tasks]
        self.drop_unused()

    def remove(self, name: str) -> None:
        """Remove a skill; an InputError if there is none of this name, or no other."""
        place = self.place(name)
        if len(self.skills) == 1:
            raise InputError(f"skill {name!r}: the only one there is; remove the folder instead.")
        del self.skills[place]
        self.tasks = [task for task in self.tasks if task.name != name]
        self.drop_unused()

    def rename(self, old: str, new: str) -> None:
        """Call a skill otherwise; an InputError if there is none, or the name is taken."""
        place = self.place(old)
        if new in self.names():
            raise InputError(f"skill {new!r}: there is one already.")
        self.skills[place] = self.skills[place].replace(name=new)
        self.tasks = [task.replace(name=new) if task.name == old else task for task in self.tasks]

    def names(self) -> list[str]:
        """Return what the skills are called, in the order of their stages."""
        return [skill.name for skill in self.skills]

    def place(self, name: str) -> int:
        """Return a skill's place among the stages; an InputError names the nearest match."""
        names = self.names()
        if name not in names:
            known = nearest(name, names) or f"; there are {', '.join(names) or 'none'}."
            raise InputError(f"no skill {name!r}{known}")
        return names.index(name)

    def stored(
        self,
        card: TaskCard,
        rank: int,
        alpha: float,
        tensors: Mapping[str, Tensor],
        uses: Sequence[str],
        extra: Mapping[str, bytes],
    ) -> tuple[StoredSkill, StoredTask]:
        """Take in the LoRA and the folder of a skill."""
        where = f"skill {card.name!r}"
        left = {lora.name for lora in self.loras} - {skill.lora for skill in self.skills}
        team = tuple(n if n in left else self.skills[self.place(n)].lora for n in uses)
        shapes: dict[str, Shape] = {
            f"{n}.{side}": (rank, None) for n in self.targets for side in "ab"
        }
        if self.combine == "attention":
            shapes |= {f"{name}.{KEPT}": (1 + len(team), None) for name in self.targets}
        check_tensors(where, tensors, shapes, self.dtype)
        try:
            check_scale(alpha, rank)
        except ValueError as error:
            raise InputError(f"{where}: {error}") from None
        assert extra.keys() <= set(EXTRA), extra.keys()
        contents = adapter_files(self.base, self.targets, rank, alpha, tensors)
        contents |= {CARD: card_bytes(card), **extra}
        if self.combine == "attention":
            kept = {name: tensor for name, tensor in tensors.items() if name.endswith(f".{KEPT}")}
            contents[KEPT_SELECTORS] = files.tensor_bytes(kept, PYTORCH)
        contents[README] = folder_readme(
            card.name, self.base, self.combine, (rank, alpha), uses=team, keeps=KEPT_ROWS in extra
        ).encode()
        path = task_folder(self.next_number(), card.name, contents)
        name = path.removeprefix("tasks/")
        self.loras.append(StoredLoRA(name=name, rank=rank, alpha=float(alpha), folder=path))
        self.fresh[path] = contents
        return (
            StoredSkill(name=card.name, lora=name, uses=team),
            StoredTask(name=card.name, folder=path),
        )

    def next_number(self) -> int:
        """Return the number that a new task's folder begins with."""
        paths = [each.folder for each in (*self.loras, *self.tasks)]
        return 1 + max((int(found[1]) for p in paths if (found := NUMBER.match(p))), default=0)

    def drop_unused(self) -> None:
        """Drop the LoRAs that no skill has or uses."""
        needed = {name for skill in self.skills for name in (skill.lora, *skill.uses)}
        self.loras = [lora for lora in self.loras if lora.name in needed]
        paths = {each.folder for each in (*self.loras, *self.tasks)}
        self.fresh = {path: held for path, held in self.fresh.items() if path in paths}

    def write(
        self, folder: Path, *, router: Stages, scores: Mapping[str, Any], publish: bool
    ) -> Manifest:
        """Write the version; whoever calls this holds the folder's lock.

        Args:
            folder: the skills folder, made if missing; that of the version which this one follows.
            router: one stage per skill, in their order.
            scores: plain values, for `scores.json`.
            publish: make it the version in use; else it is a candidate.

        Raises:
            InputError: the folder is damaged, or the router is of other skills.
        """
        check_stages(router, len(self.skills))
        check_scores("scores", scores, len(self.tasks))
        tidy(folder)
        paths = {each.folder for each in (*self.loras, *self.tasks)}
        kept: dict[str, StoredFile] = {}
        if self.parent is not None:
            stated = self.parent[0].files.items()
            kept = {name: file for name, file in stated if name.rpartition("/")[0] in paths}
        manifest = Manifest(
            version=next_version(folder),
            previous=None if self.parent is None else self.parent[1],
            content="",
            base=self.base,
            combine=self.combine,
            gain=self.gain,
            dtype=self.dtype,
            targets=self.targets,
            loras=tuple(self.loras),
            tasks=tuple(self.tasks),
            skills=tuple(self.skills),
            files=kept | listed(self.fresh),
            arrow=None,
            stages=router.settings,
            gates=None,
        )
        own = {
            STAGES: files.tensor_bytes(router.tensors(), PYTORCH),
            SCORES: files.json_bytes(scores),
        }
        manifest = with_content(manifest, own)
        cards = [self.card(folder, task) for task in self.tasks]
        learned = {skill.name: self.learned(folder, skill) for skill in self.skills}
        own[README] = version_readme(manifest, cards, scores, learned).encode()
        return write_version(folder, manifest, self.fresh, own, publish=publish)

    def card(self, folder: Path, task: StoredTask) -> TaskCard:
        """Return a task's card, with the name that it has now."""
        data = self.read(folder, f"{task.folder}/{CARD}")
        value = formats.parse_json(folder / task.folder / CARD, data)
        card = formats.typed(folder / task.folder / CARD, value, TaskCard)
        return card.replace(name=task.name)

    def learned(self, folder: Path, skill: StoredSkill) -> Any:
        """Return what `learned.json` says of a skill, {} where there is none."""
        path = next(lora.folder for lora in self.loras if lora.name == skill.lora)
        data = self.read(folder, f"{path}/{LEARNED}")
        return formats.parse_json(folder / path / LEARNED, data) if data else {}

    def read(self, folder: Path, name: str) -> bytes:
        """Return a file of a task's folder, written or to be written; nothing where it has none."""
        where, _, file = name.rpartition("/")
        if where in self.fresh:
            return self.fresh[where].get(file, b"")
        assert self.parent is not None
        known = name in self.parent[0].files
        return read_file(folder, self.parent[0], name) if known else b""
