"""Folders of learned skills without learning any: seeded random LoRAs, and random prompts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from amlora import files
from amlora.engine.backbone import base_of
from amlora.mixture.draft import Draft
from amlora.mixture.inject import find_targets, linear_sizes, modules_of
from amlora.mixture.manifest import KEPT_ROWS, KEPT_VECTORS, LEARNED, Manifest, TaskCard
from amlora.mixture.reference import Combine
from amlora.mixture.stages import Stages, StageSettings
from amlora.mixture.version import read_version
from trained import load_base

WIDTH, RANK, ALPHA = 48, 2, 8.0
STAGES = StageSettings(
    mixing="hard", temperature=1.0, reject=0.1, covariance="diagonal", shrinkage=None
)
SECRET = "the customer's own words"


def random(seed: object, *size: int) -> Tensor:
    """Return normal numbers that a seed decides."""
    number = int(files.digest(str(seed))[:8], 16)
    return torch.randn(size, generator=torch.Generator().manual_seed(number))


def card(name: str) -> TaskCard:
    return TaskCard(name=name, instruction=f"Which {name}?", options=("yes", "no"))


def router(names: Sequence[str]) -> Stages:
    """Return what tells the skills of these names apart: each name's prompts are its own."""
    stages = Stages(STAGES)
    for name in names:
        stages.add(random(name, 12, WIDTH))
    return stages


def extra(name: str) -> dict[str, bytes]:
    """Return what lies beside a skill."""
    return {
        LEARNED: files.json_bytes({"task": name, "score": 0.75, "metric": "exact"}),
        KEPT_ROWS: f'{{"row": "1", "text": "{SECRET}"}}\n'.encode(),
        KEPT_VECTORS: files.tensor_bytes({"vectors": random(name, 3, WIDTH)}, {}),
    }


class Folder:
    """A folder of skills on a tiny model."""

    def __init__(self, place: Path, base: Path, *, combine: Combine = "sum") -> None:
        self.place = place
        backbone = load_base(base)
        model = backbone.model
        self.combine: Combine = combine
        self.base = base_of(backbone)
        self.targets = find_targets(model, model.config.model_type)
        modules = modules_of(model)
        self.sizes = {name: linear_sizes(modules[name]) or (0, 0) for name in self.targets}

    def draft(self, version: str | None = None) -> Draft:
        """Return one that follows a version, the one in use, or none."""
        if version is None and not files.exists(self.place / "CURRENT"):
            return Draft.new(
                self.base,
                targets=self.targets,
                dtype="float32",
                combine=self.combine,
                gain=self.combine == "attention",
                stages=STAGES,
            )
        return Draft.of(self.place, read_version(self.place, version))

    def lora(
        self, seed: str, uses: Sequence[str] = (), *, rank: int = RANK, **given: Any
    ) -> dict[str, Any]:
        """Return the arguments of `Draft.add`, of a LoRA that a seed decides, without the card."""
        tensors: dict[str, Tensor] = {}
        for name, (d_in, d_out) in self.sizes.items():
            tensors[f"{name}.a"] = random(f"{seed} {name} a", rank, d_in) / 5
            tensors[f"{name}.b"] = random(f"{seed} {name} b", rank, d_out) / 5
            if self.combine == "attention":
                tensors[f"{name}.kept"] = random(f"{seed} {name} w", 1 + len(uses), d_out) / 5
        plain = {"rank": rank, "alpha": ALPHA, "tensors": tensors, "uses": uses, "extra": {}}
        return {**plain, **given}

    def write(self, draft: Draft, *, publish: bool = True, scores: Any = None) -> Manifest:
        with files.lock(self.place):
            told = router(draft.names())
            return draft.write(self.place, router=told, scores=scores or {}, publish=publish)

    def learn(
        self, name: str, uses: Sequence[str] = (), *, publish: bool = True, **given: Any
    ) -> Manifest:
        """Add a skill to the version in use; its LoRA is decided by its name."""
        draft = self.draft()
        draft.add(card(name), **self.lora(name, uses, **given))
        return self.write(draft, publish=publish)
