"""A model with a mixture that has something to say, without training one: seeded random LoRAs."""

from pathlib import Path

import torch
from torch import Tensor

from amlora.engine.backbone import Backbone
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.mixture.inject import find_targets, inject
from amlora.mixture.layer import Control
from amlora.mixture.manifest import TaskCard
from amlora.mixture.mixture import Mixture
from amlora.mixture.reference import Combine

NAMES = ("Topic", "mood/of day", "Größe")
SHAPES = ((4, 8.0), (2, 5.5), (3, 32.0))  # ranks and alphas


def load_base(folder: Path) -> Backbone:
    return load_backbone(ModelSettings(name=str(folder), precision="float32", device="cpu"))


def add_lora(mixture: Mixture, name: str, rank: int, alpha: float, *, seed: int) -> None:
    """Append a frozen LoRA whose effect on the tiny models is plain to see."""
    generator = torch.Generator().manual_seed(seed)
    for layer in mixture.layers.values():
        a, b, w = layer.bank.stacks()
        sizes = (rank, a.shape[1]), (rank, b.shape[1]), (w.shape[1],)
        new = [torch.randn(size, generator=generator) / 5 for size in sizes]
        layer.bank.extend(new[0], new[1], new[2], alpha)
    mixture.names.append(name)


def trained(
    folder: Path, *, loras: int = 3, combine: Combine = "attention", gain: bool = False
) -> tuple[Backbone, Mixture]:
    """Return a base model with LoRAs of different ranks and alphas in it."""
    backbone = load_base(folder)
    model = backbone.model
    targets = find_targets(model, model.config.model_type)
    mixture = inject(model, targets, Control(combine=combine, gain=gain))
    for index in range(loras):
        add_lora(mixture, NAMES[index], *SHAPES[index], seed=index)
    return backbone, mixture


def cards(count: int = 3) -> list[TaskCard]:
    return [
        TaskCard(name=name, instruction=f"Which {name}? | Choose.", options=("yes", "no"))
        for name in NAMES[:count]
    ]


@torch.no_grad()
def logits(backbone: Backbone) -> Tensor:
    """Return the model's logits on fixed tokens, of two rows."""
    tokens = torch.arange(5, 45).view(2, 20)
    if backbone.family == "encoder-decoder":
        return backbone.model(input_ids=tokens, decoder_input_ids=tokens[:, :6]).logits
    return backbone.model(input_ids=tokens).logits
