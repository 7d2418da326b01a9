"""Soft prompts for both families: trained vectors that are read where a token's embedding would be.

Each vector has a token id of its own, from the vocabulary's size on. A row whose prompt holds such
ids is read with the vectors in their places, so padding, positions, key-value caches, generation
and the shared prefix of `engine/prefix.py` need to know nothing of soft prompts.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row


class PromptEmbedding(nn.Module):
    """The model's input embedding, in which ids from the vocabulary's size on are soft vectors.

    In encoder-decoder models both sides share it; only the encoder is given such ids.
    """

    def __init__(self, base: nn.Embedding) -> None:
        super().__init__()
        self.base = base
        self.vectors: Callable[[], Tensor] = lambda: base.weight[:0]
        """Returns the (P, D) vectors of ids V .. V + P - 1; called in each forward pass."""

    @property
    def weight(self) -> Tensor:
        """The frozen weight: some models read a dtype through it."""
        return self.base.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Map (rows, tokens) ids to (rows, tokens, D) in the base's dtype."""
        first = self.base.num_embeddings
        soft = ids >= first
        out = self.base(ids.masked_fill(soft, 0))
        table = self.vectors()
        if not len(table):
            return out
        own = F.embedding((ids - first).clamp(min=0), table)
        return torch.where(soft.unsqueeze(-1), own.to(out.dtype), out)


def add_prompts(backbone: Backbone) -> PromptEmbedding:
    """Freeze a model and put a `PromptEmbedding` around its input embedding."""
    model = backbone.model
    model.requires_grad_(False)
    embedding = PromptEmbedding(cast(nn.Embedding, model.get_input_embeddings()))
    model.set_input_embeddings(embedding)
    return embedding


def from_vocabulary(embedding: PromptEmbedding, count: int, generator: torch.Generator) -> Tensor:
    """Return (count, D) float32 embeddings of random tokens, a prompt's start (Lester 2021)."""
    chosen = torch.randint(embedding.base.num_embeddings, (count,), generator=generator)
    weight = embedding.base.weight
    return weight.detach()[chosen.to(weight.device)].float().clone()


def in_front(rows: Sequence[Row], ids: Sequence[int]) -> list[Row]:
    """Return rows with some ids before their prompts."""
    return [replace(row, prompt_ids=(*ids, *row.prompt_ids)) for row in rows]


def behind(rows: Sequence[Row], ids: Sequence[int]) -> list[Row]:
    """Return rows with some ids between prompt and answer."""
    return [replace(row, prompt_ids=(*row.prompt_ids, *ids)) for row in rows]
