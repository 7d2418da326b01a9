"""A base model on which skills are put and taken off again, while a new one is learned.

Earlier LoRAs are held as stacks in memory. A new skill is learned with only those below it that it
uses; before and after, all skills are in the model, each prompt with its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from amlora.engine.backbone import Backbone, base_of
from amlora.engine.encode import Row, encode_rows
from amlora.engine.load import load_backbone
from amlora.engine.route import BASE_ALONE, Reader, Router
from amlora.engine.settings import ModelSettings
from amlora.errors import InputError
from amlora.mixture.inject import find_targets, inject, remove
from amlora.mixture.layer import Control
from amlora.mixture.load import StoredSkills, check_model, read_skills
from amlora.mixture.manifest import Base, TaskCard
from amlora.mixture.mixture import KEPT, STACKS, Mixture
from amlora.mixture.reference import Combine
from amlora.mixture.route import NONE, Weights
from amlora.mixture.stages import Stages, StageSettings
from amlora.skills.facts import task_of
from amlora.skills.lesson import Used
from amlora.skills.loading import Loading
from amlora.skills.train import Trained
from amlora.streams.task import Example


@dataclass
class Skill:
    """One skill on the bench."""

    card: TaskCard
    team: tuple[int, ...]
    """Places of the LoRAs that answer, its own last."""
    kept: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Where skills combine by attention, the team's selectors (team, D_out) by layer."""


@dataclass
class Bench:
    """The base model, and the skills that may be put on it."""

    backbone: Backbone
    base: Base
    """As the folder names it."""
    targets: tuple[str, ...]
    combine: Combine
    router: Stages
    """Its stages are the skills, in their order."""
    loras: list[str] = field(default_factory=list[str])
    """Names, oldest first, of those without a skill too."""
    ranks: list[int] = field(default_factory=list[int])
    alphas: list[float] = field(default_factory=list[float])
    tensors: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """The LoRAs as `Mixture.restore` takes them."""
    skills: list[Skill] = field(default_factory=list[Skill])
    mixture: Mixture | None = None
    """While the skills are in the model."""

    @classmethod
    def new(
        cls,
        model: ModelSettings,
        *,
        targets: Sequence[str],
        combine: Combine,
        stages: StageSettings,
    ) -> "Bench":
        """Load a base model for a folder without skills."""
        backbone = load_backbone(model)
        kind = backbone.model.config.model_type
        found = tuple(find_targets(backbone.model, kind, targets))
        return cls(backbone, base_of(backbone), found, combine, Stages(stages))

    @classmethod
    def of(cls, folder: Path, version: str | None, loading: Loading) -> "Bench":
        """Load a version's base model, and read its skills.

        Raises:
            InputError: the version is damaged, its skills are not chosen by the prompt, or the base
                model is missing or another one.
        """
        stored = read_skills(folder, version)
        manifest, stages = stored.manifest, stored.stages
        if stages is None:
            raise InputError(
                f"{folder}: its LoRAs are not chosen by the prompt, so no skill can be added; start"
                " a new folder."
            )
        try:
            backbone = load_backbone(loading.settings(manifest.base))
        except InputError as error:
            raise InputError(f"{folder}: its base model: {error} Another place: --base.") from error
        check_model(folder, backbone.model, manifest, base_of(backbone))
        bench = cls(backbone, manifest.base, manifest.targets, manifest.combine, stages)
        bench.fill(stored)
        return bench

    def fill(self, stored: StoredSkills) -> None:
        """Take a version's LoRAs and skills.

        Where skills combine by attention, a LoRA's own selector is that which its skill ended with;
        it is 0 where the skill is gone.
        """
        manifest = stored.manifest
        self.loras = [lora.name for lora in manifest.loras]
        self.ranks = [lora.rank for lora in manifest.loras]
        self.alphas = [lora.alpha for lora in manifest.loras]
        self.tensors = {
            f"{name}.{stack}": stored.tensors[f"{name}.{stack}"]
            for name in self.targets
            for stack in STACKS
        }
        cards = {card.name: card for card in stored.cards}
        teams = manifest.teams()
        self.skills = [
            Skill(cards[skill.name], team)
            for skill, team in zip(manifest.skills, teams, strict=True)
        ]
        if self.combine == "attention":
            for name in self.targets:
                blocks = stored.tensors[f"{name}.{KEPT}"].split([len(team) for team in teams])
                own = self.tensors[f"{name}.w"].clone()
                for skill, block in zip(self.skills, blocks, strict=True):
                    skill.kept[name] = block
                    own[skill.team[-1]] = block[-1]
                self.tensors[f"{name}.w"] = own

    @property
    def names(self) -> list[str]:
        """Of the skills."""
        return [skill.card.name for skill in self.skills]

    @property
    def endings(self) -> list[str]:
        """What the adapted layers' names end in."""
        return sorted({name.rsplit(".", 1)[-1] for name in self.targets})

    def put_on(self) -> None:
        """Put all skills into the model; without any it stays the base model."""
        if self.mixture is not None or not self.skills:
            return
        attends = self.combine == "attention"
        control = Control(combine=self.combine, gain=attends, routing=self.backbone.routing)
        mixture = inject(self.backbone.model, self.targets, control)
        mixture.stages, mixture.skills = self.router, self.names
        tensors = dict(self.tensors)
        if attends:
            for name in self.targets:
                tensors[f"{name}.{KEPT}"] = torch.cat([skill.kept[name] for skill in self.skills])
        mixture.restore(
            self.loras,
            self.ranks,
            self.alphas,
            tensors,
            stages=len(self.skills) if attends else 0,
            teams=[skill.team for skill in self.skills],
        )
        self.mixture = mixture

    def take_off(self) -> None:
        """Leave the base model alone."""
        if self.mixture is not None:
            remove(self.backbone.model, self.mixture)
            self.mixture = None

    def used(self, places: Sequence[int]) -> Used:
        """Return some of the LoRAs, for a new one to be learned on top of."""
        return Used.of(self.mixture, places) if self.mixture is not None else Used()

    def routes(self) -> Router | None:
        """Return what tells the routes of prompts; None without skills."""
        return Router(self.backbone, self.router) if self.skills else None

    def route_to(self, skill: str) -> Weights | None:
        """Return the route to a skill, or to none; None where the model is the base alone."""
        if self.mixture is None:
            return None
        if skill == NONE:
            return BASE_ALONE
        return (0.0, *(float(name == skill) for name in self.names))

    def rows(self, card: TaskCard, examples: Sequence[Example]) -> list[Row]:
        """Tokenise a skill's rows, without a route."""
        task = task_of(card)
        return encode_rows(self.backbone, task, examples, prefix=card.prefix, form=card.form)[0]

    def routed(self, rows: Sequence[Row], skill: str) -> list[Row]:
        """Send rows to a skill, or to none, whatever the router says."""
        route = self.route_to(skill)
        return [replace(row, route=route, belief=None) for row in rows]

    def vectors(self, rows: Sequence[Row]) -> Tensor:
        """Return (rows, D) what the router reads of each prompt."""
        return self.reader().vectors([row.prompt_ids for row in rows])

    def lesson(self, rows: Sequence[Row], examples: Sequence[Example]) -> Tensor:
        """Return what the router learns a skill from, of its rows and what they were made of."""
        prompts = [row.prompt_ids for row in rows]
        return self.reader().lesson(prompts, [example.text for example in examples])

    def reader(self) -> Reader:
        """Return what reads prompts as the router wants them read."""
        return Reader(self.backbone, self.router.settings)

    def destinations(self, vectors: Tensor) -> list[str]:
        """Return who answers each of some prompts (rows, D): a skill, or NONE."""
        told, router = [NONE, *self.names], self.router
        if len(told) == 1:
            return [NONE] * len(vectors)
        return [told[router.weights(belief).index(1.0)] for belief in router.beliefs(vectors)]

    def add(self, card: TaskCard, trained: Trained, team: Sequence[int], vectors: Tensor) -> None:
        """Add a newly learned LoRA, and its skill as the last one or in place of its old self.

        The skills must be off. `vectors` are what `lesson` returned of the training rows.
        """
        assert self.mixture is None
        for name in self.targets:
            kept = trained.tensors.get(f"{name}.{KEPT}")
            b = trained.tensors[f"{name}.b"]
            w = b.new_zeros(1, b.shape[1]) if kept is None else kept[-1:]
            own = {**trained.tensors, f"{name}.w": w}
            for stack in STACKS:
                key = f"{name}.{stack}"
                before = self.tensors.get(key, own[key][:0])
                self.tensors[key] = torch.cat([before, own[key]])
        place = len(self.loras)
        # What it is called on the disk depends on what is in it.
        self.loras.append(f"{card.name}, new")
        self.ranks.append(trained.rank)
        self.alphas.append(trained.alpha)
        kept = {
            name: trained.tensors[f"{name}.{KEPT}"]
            for name in self.targets
            if f"{name}.{KEPT}" in trained.tensors
        }
        skill = Skill(card, (*team, place), kept)
        if card.name in self.names:
            stage = self.names.index(card.name)
            self.skills[stage] = skill
            self.router.replace(stage, vectors)
        else:
            self.skills.append(skill)
            self.router.add(vectors)

    def drop(self, name: str) -> None:
        """Take a skill away; its LoRA stays, as others may use it. The skills must be off."""
        assert self.mixture is None
        place = self.names.index(name)
        del self.skills[place]
        self.router.drop(place)
