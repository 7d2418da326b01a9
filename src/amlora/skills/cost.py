"""What learning a skill takes, estimated before it begins, and the machine that it is done on."""

from collections.abc import Sequence

import torch

from amlora.engine.backbone import Backbone
from amlora.engine.batch import length
from amlora.engine.encode import Row
from amlora.experiment.provenance import DECISIVE, cpu_name, peak_memory
from amlora.experiment.provenance import versions as all_versions
from amlora.skills.settings import LearnSettings
from amlora.skills.train import planned_steps, step_tokens

BACKWARD = 3.0
"""A training step costs about so many times the forward pass of its tokens (measured on the quick
start's model, LoRAs on all linear layers)."""
LAYER_VALUES = 34
"""Numbers kept for the backward pass per layer, token and unit of width."""
HEAD_VALUES = 3
"""Numbers kept per target token and word of the vocabulary."""


def environment(backbone: Backbone) -> dict[str, object]:
    """Return what decides the last bits of answers."""
    found = all_versions()
    return {
        **{name: found[name] for name in DECISIVE},
        "threads": torch.get_num_threads(),
        "device": backbone.model.device.type,
        "cpu": cpu_name(),
        "precision": str(backbone.precision).removeprefix("torch."),
    }


def told_cost(
    backbone: Backbone, rows: Sequence[Row], settings: LearnSettings, speed: float
) -> str:
    """Return "about 2 min, 2.1 GB" for learning from rows at most as long as settings allow.

    Args:
        backbone: the base model.
        rows: to train on.
        settings: how.
        speed: tokens a second of a bare forward pass, as measured a moment ago.
    """
    steps = planned_steps(rows, settings, backbone.model.device.type)
    seconds = BACKWARD * steps * step_tokens(rows, settings) / speed
    lengths = sorted(map(length, rows))
    told = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return f"at most about {told}, {memory(backbone, lengths, settings) / 1e9:.1f} GB"


def memory(backbone: Backbone, lengths: Sequence[int], settings: LearnSettings) -> float:
    """Return the bytes that learning may take at its peak: what is held now and a step's states."""
    config = backbone.model.config.get_text_config()
    longest = sum(lengths[-settings.batch :])
    kept = LAYER_VALUES * config.num_hidden_layers * config.hidden_size
    size = 4 if backbone.precision == torch.float32 else 2
    states = longest * kept * size + settings.batch * HEAD_VALUES * config.vocab_size * 4
    return peak_memory(backbone.model.device) + states
