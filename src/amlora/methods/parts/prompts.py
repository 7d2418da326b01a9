"""Soft prompts for both families: trained vectors that are read where a token's embedding would be.

Each vector has a token id of its own, from the vocabulary's size on. A row whose prompt holds such
ids is read with the vectors in their places, so padding, positions, key-value caches, generation
and the shared prefix of `engine/prefix.py` need to know nothing of soft prompts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from amlora.engine.backbone import Backbone, positions
from amlora.engine.encode import Row
from amlora.errors import InputError


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

    @property
    def first(self) -> int:
        """V, the id of the first soft vector."""
        return self.base.num_embeddings

    def ids(self, prompts: Iterable[int], length: int) -> list[int]:
        """Return the ids of some prompts, by their numbers, of so many vectors each."""
        return [self.first + prompt * length + i for prompt in prompts for i in range(length)]

    def forward(self, ids: Tensor) -> Tensor:
        """Map (rows, tokens) ids to (rows, tokens, D) in the base's dtype.

        Raises:
            IndexError: an id behind the last vector (on a GPU the device's own assertion).
        """
        table = self.vectors()
        if not len(table):
            return self.base(ids)
        soft = ids >= self.first
        out = self.base(ids.masked_fill(soft, 0))
        own = F.embedding((ids - self.first).clamp(min=0), table)
        return torch.where(soft.unsqueeze(-1), own.to(out.dtype), out)


def add_prompts(backbone: Backbone) -> PromptEmbedding:
    """Freeze a model and put a `PromptEmbedding` around its input embedding.

    Raises:
        InputError: the model's input embedding is no plain table.
    """
    model = backbone.model
    base = model.get_input_embeddings()
    if not isinstance(base, nn.Embedding):
        raise InputError(
            f"model.name: the input embedding of {backbone.name!r} is {type(base).__name__}, no"
            " table of vectors that soft prompts could be added to."
        )
    model.requires_grad_(False)
    embedding = PromptEmbedding(base)
    model.set_input_embeddings(embedding)
    return embedding


def from_vocabulary(embedding: PromptEmbedding, count: int, generator: torch.Generator) -> Tensor:
    """Return (count, D) float32 embeddings of random tokens, a prompt's start (Lester 2021).

    They are what the model reads for these tokens: some scale the table's rows first.
    """
    chosen = torch.randint(embedding.first, (count,), generator=generator)
    with torch.no_grad():
        return embedding.base(chosen.to(embedding.weight.device)).float()


def in_front(rows: Sequence[Row], ids: Sequence[int]) -> list[Row]:
    """Return rows with some ids before their prompts."""
    return [replace(row, prompt_ids=(*ids, *row.prompt_ids)) for row in rows]


def behind(rows: Sequence[Row], ids: Sequence[int]) -> list[Row]:
    """Return rows with some ids between prompt and answer."""
    return [replace(row, prompt_ids=(*row.prompt_ids, *ids)) for row in rows]


def check_positions(backbone: Backbone, rows: Sequence[Row]) -> None:
    """Refuse rows that soft prompts made longer than what a decoder-only model can read.

    Raises:
        InputError: naming the limit.
    """
    limit = positions(backbone.model.config)
    if backbone.family == "encoder-decoder" or limit is None:
        return
    for row in rows:
        needed = len(row.prompt_ids) + len(row.answer_ids)
        if needed > limit:
            raise InputError(
                f"model.max_tokens is {backbone.settings.max_tokens}: row {row.row} of {row.task}"
                f" needs {needed} positions with its soft prompts; the model has {limit}."
            )
