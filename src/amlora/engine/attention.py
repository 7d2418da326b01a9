"""Measure which LoRAs a trained mixture uses, per task, layer and projection (figure 4)."""

from collections.abc import Sequence
from typing import Any

import torch

from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate
from amlora.engine.encode import Row
from amlora.engine.padding import Padding
from amlora.engine.route import by_routes
from amlora.mixture.mixture import Mixture
from amlora.records.beside import Attention


@torch.inference_mode()
def attention(
    backbone: Backbone,
    mixture: Mixture,
    tasks: Sequence[tuple[str, Sequence[Row]]],
    *,
    rows_per_task: int,
    batch: int = 8,
) -> Attention:
    """Run some rows of each task, prompt and right answer, and return mean scores."""
    backbone.model.eval()
    padding = Padding(backbone)
    found: dict[str, Any] = {
        "modules": [],
        "loras": ["none", *mixture.names],
        "tasks": [name for name, _ in tasks],
        "mean": [],
        "top90": [],
        "effective": [],
        "picked": [],
    }
    for task, rows in tasks:
        chosen = rows[:rows_per_task]
        with padding.watched(), mixture.recording(padding.mask) as recorder:
            for i in range(0, len(chosen), batch):
                part = collate(chosen[i : i + batch], backbone, share=1.0)
                padding.begin(part)
                with backbone.arithmetic(), by_routes(backbone, part.rows):
                    backbone.model(**part.inputs, use_cache=False)
        # A layer that no text passes through, as in a vision tower, has no tally.
        found["modules"] = [name for name in mixture.layers if name in recorder.tallies]
        tallies = [recorder.tallies[name] for name in found["modules"]]
        found["mean"].append([tally.mean() for tally in tallies])
        found["top90"].append([tally.decided / tally.tokens for tally in tallies])
        found["effective"].append([tally.effective / tally.tokens for tally in tallies])
        own = mixture.names.index(task) if task in mixture.names else None
        found["picked"].append(
            [None if own is None else float(tally.largest[own]) / tally.rows for tally in tallies]
        )
    return Attention.model_validate(found)
