"""How fast the model reads: what scoring is compared with."""

import time
from collections.abc import Sequence

from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import Row
from amlora.engine.generate import inference
from amlora.engine.packs import packs

MOST = 2048
"""Tokens that are read for it, about."""


def read_seconds(backbone: Backbone, rows: Sequence[Row]) -> float:
    """Time one bare forward pass over the rows of middle length, without a shared prefix.

    Args:
        backbone: the model, after it has run once: a first pass is slower.
        rows: what is scored, at least one.

    Returns:
        Seconds a token of prompt or answer; padding is not counted.
    """
    batches = packs(rows, MOST)
    batch = [rows[i] for i in batches[len(batches) // 2]]
    with inference(backbone):
        begun = time.perf_counter()
        target_logits(backbone, collate(batch, backbone, share=1.0)).sum().item()  # waits for a GPU
        return (time.perf_counter() - begun) / tokens(batch)


def tokens(rows: Sequence[Row]) -> int:
    """Return the number of prompt and answer tokens."""
    return sum(len(row.prompt_ids) + len(row.answer_ids) for row in rows)
