"""The start that all prompts of a task share, run once and kept as a key-value cache.

A task's instruction and options stand before every text. A decoder-only model's keys and values
there depend on nothing behind them, so one row's serve all rows, and only the rest is run for each.
Rounding may differ from a run over the whole prompt, as it may between any two batches; the margin
of `exact.py` covers both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.utils.generic import ModelOutput

from amlora.engine.backbone import Backbone
from amlora.engine.batch import Batch, collate, target_logits
from amlora.engine.encode import Row
from amlora.engine.route import by_routes

SHORTEST = 8
"""Shared tokens from which a cache is worth its copies."""


class Shared(DynamicLayer):
    """One layer's keys and values of the prefix: read by every row, and added to by none.

    A layer's own would keep what it is given, for all rows and all layers at once, until the pass
    has ended; nobody reads it again.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = self.shared = keys, values  # (1, ..., length, D)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Return the prefix's keys and values with each row's own behind them."""
        keys, values = self.shared
        return behind(keys, key_states), behind(values, value_states)


def behind(shared: Tensor, own: Tensor) -> Tensor:
    """Put each row's own states behind the shared ones."""
    return torch.cat([shared.expand(len(own), *shared.shape[1:]), own], dim=-2)


@dataclass(frozen=True)
class Prefix:
    """Shared tokens, and what the model keeps of them for one row."""

    length: int
    cache: DynamicCache | None
    """None where nothing is shared."""

    def cut(self, row: Row) -> Row:
        """Return a row without the shared tokens."""
        return replace(row, prompt_ids=row.prompt_ids[self.length :])

    def logits(self, backbone: Backbone, rows: Sequence[Row]) -> tuple[Batch, Tensor]:
        """Run cut rows behind the prefix.

        Returns:
            The batch, and (rows, longest answer, vocabulary) logits aligned with its labels.
        """
        batch = collate(rows, backbone, share=1.0)
        if self.cache is None:
            return batch, target_logits(backbone, batch)
        mask = batch.inputs["attention_mask"]
        inputs = {
            **batch.inputs,
            "attention_mask": torch.cat([mask.new_ones(len(rows), self.length), mask], dim=1),
            "position_ids": batch.inputs["position_ids"] + self.length,
        }
        targets = batch.labels.shape[1]
        how = {"past_key_values": self.cache, "use_cache": True, "logits_to_keep": targets}
        with by_routes(backbone, rows):
            return batch, backbone.model(**inputs, **how).logits


NOTHING = Prefix(0, None)


def shared_prefix(backbone: Backbone, rows: Sequence[Row]) -> Prefix:
    """Find and run what all rows' prompts start with; call it inside `inference`.

    Nothing is shared in encoder-decoder models, which read a prompt in both directions, in models
    whose cache is not one of plain keys and values (sliding windows, recurrent states), and among
    rows of different routes.
    """
    length = common(rows) if backbone.family == "decoder-only" else 0
    able = backbone.takes("position_ids", "logits_to_keep", "past_key_values")
    if length < SHORTEST or len(rows) < 2 or not able or len({row.route for row in rows}) > 1:
        return NOTHING
    ids = torch.tensor([rows[0].prompt_ids[:length]], device=backbone.model.device)
    # Given, as everywhere else: some families would count from another number by themselves.
    how = {"position_ids": torch.arange(length, device=ids.device).unsqueeze(0), "use_cache": True}
    with by_routes(backbone, rows[:1]):
        out = backbone.model(input_ids=ids, **how, logits_to_keep=1)
    cache = plain_cache(out)
    if cache is None:
        return NOTHING
    for place, states in enumerate(states_of(cache)):
        cache.layers[place] = Shared(*states)
    return Prefix(length, cache)


def plain_cache(out: ModelOutput) -> DynamicCache | None:
    """Return what a pass has kept, None where it is other than plain keys and values."""
    # Not an instance: families that keep other states as well derive their cache from this one.
    # Some keep all states in their layers and return no cache.
    cache = out.get("past_key_values")
    if type(cache) is not DynamicCache:
        return None
    plain = all(type(layer) is DynamicLayer and layer.keys is not None for layer in cache.layers)
    return cache if plain else None


def states_of(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """Return each layer's keys and values of a plain cache."""
    found: list[tuple[Tensor, Tensor]] = []
    for layer in cache.layers:
        assert isinstance(layer, DynamicLayer)
        assert layer.keys is not None and layer.values is not None
        found.append((layer.keys, layer.values))
    return found


def common(rows: Sequence[Row]) -> int:
    """Return how many tokens all prompts start with, leaving each at least one of its own."""
    if not rows:
        return 0
    prompts = [row.prompt_ids for row in rows]
    return min(common_start(min(prompts), max(prompts)), min(map(len, prompts)) - 1)


def common_start(ids: Sequence[int], others: Sequence[int]) -> int:
    """Return how many ids two sequences start with in common."""
    differ = (i for i, (a, b) in enumerate(zip(ids, others, strict=False)) if a != b)
    return next(differ, min(len(ids), len(others)))
