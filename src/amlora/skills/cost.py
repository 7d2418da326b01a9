"""What learning a skill takes, estimated before it begins, and the machine that it is done on."""

from collections.abc import Sequence

import torch

from amlora.engine.backbone import Backbone
from amlora.engine.batch import length
from amlora.engine.encode import Row
from amlora.experiment.evaluation import read_seconds
from amlora.experiment.provenance import DECISIVE, cpu_name, peak_memory
from amlora.experiment.provenance import versions as all_versions
from amlora.skills.settings import LearnSettings
from amlora.skills.train import MICRO_TOKENS, planned_steps, step_tokens

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


def told_cost(backbone: Backbone, rows: Sequence[Row], settings: LearnSettings) -> str:
    """Return "at most about 2 min, 2.1 GB" for learning from rows as long as settings allow.

    The model must have run once: a bare forward pass is timed here.
    """
    steps = planned_steps(rows, settings, backbone.model.device.type)
    seconds = BACKWARD * steps * step_tokens(rows, settings) * read_seconds(backbone, rows)
    lengths = sorted(map(length, rows))
    told = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return f"at most about {told}, {memory(backbone, lengths, settings) / 1e9:.1f} GB"


def memory(backbone: Backbone, lengths: Sequence[int], settings: LearnSettings) -> float:
    """Return the bytes that learning may take at its peak: what is held now and a step's states."""
    config = backbone.model.config.get_text_config()
    most = MICRO_TOKENS.get(backbone.model.device.type, MICRO_TOKENS["cpu"])
    longest = max(lengths[-1], min(most, sum(lengths[-settings.batch :])))
    kept = LAYER_VALUES * config.num_hidden_layers * config.hidden_size
    size = 4 if backbone.precision == torch.float32 else 2
    states = longest * kept * size + settings.batch * HEAD_VALUES * config.vocab_size * 4
    return peak_memory(backbone.model.device) + states
