"""Skills folders of every kind, on a tiny model."""

from pathlib import Path

import torch

from amlora.engine.backbone import base_of
from amlora.mixture.gates import Gates, GateSettings
from amlora.mixture.save import save_skills
from amlora.mixture.stages import Stages, StageSettings
from trained import cards, trained

WIDTH = 48  # of the tiny model
KINDS = ("plain", "staged", "attending", "gated")


def saved(place: Path, base: Path, *, kind: str = "plain", width: int = WIDTH) -> Path:
    """Save two LoRAs and return the folder.

    Args:
        place: the folder.
        base: the tiny model's.
        kind: "staged": with the statistic of two stages; "attending": with their selectors, too;
            "gated": with two gates.
        width: of what prompts are told by.
    """
    generator = torch.Generator().manual_seed(0)
    attends = kind in ("plain", "attending")
    backbone, mixture = trained(base, loras=2, combine="attention" if attends else "sum")

    def random(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator)

    if kind in ("staged", "attending"):
        covariance = "full" if kind == "staged" else "diagonal"
        mixture.stages = Stages(
            StageSettings(
                mixing="hard", temperature=1.0, reject=0.1, covariance=covariance, shrinkage=None
            )
        )
        for _ in range(2):
            mixture.stages.add(random(12, width))
    if kind == "attending":
        for layer in mixture.layers.values():
            bank = layer.bank
            bank.kept = torch.cat([bank.w[:1], bank.w])
            bank.forget()
    if kind == "gated":
        mixture.gates = Gates(GateSettings(width=5))
        for _ in range(2):
            mixture.gates.add(random(5, width), random(width, 5), random(width))
    save_skills(place, mixture, base=base_of(backbone), tasks=cards(2), scores={"R": [[0.5, 1.0]]})
    return place
