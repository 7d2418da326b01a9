"""What a text asks a pool of prompts with: one vector of the frozen model, without any prompt.

A query depends on its text alone and never on the batch that the text is in: nothing is padded, and
the model reads one text at a time.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from amlora.engine.backbone import Backbone
from amlora.methods.parts.prompts import PromptEmbedding

Query = Literal["embedding", "hidden"]
"""The mean over a prompt's tokens of input embeddings, or of the frozen model's last hidden states
(of the encoder, where there is one)."""


class Queries:
    """Queries by token ids; those that cost a forward pass are kept."""

    def __init__(self, backbone: Backbone, embedding: PromptEmbedding, kind: Query) -> None:
        self.backbone = backbone
        self.embedding = embedding
        self.kind = kind
        self.kept: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, ids: tuple[int, ...]) -> Tensor:
        """Return (D,) float32 of length 1, without gradients.

        Args:
            ids: a prompt's tokens, without soft ones.
        """
        # What is made in inference mode could not serve a later training step.
        with torch.inference_mode(False), torch.no_grad():
            if self.kind == "embedding":
                return mean_direction(self.embedding.base(self.batch_of(ids)))
            if ids not in self.kept:
                self.kept[ids] = mean_direction(self.hidden(ids))
            return self.kept[ids]

    def batch_of(self, ids: tuple[int, ...]) -> Tensor:
        """Return (1, tokens) ids on the model's device."""
        return torch.tensor([ids], device=self.backbone.model.device)

    def hidden(self, ids: tuple[int, ...]) -> Tensor:
        """Return (1, tokens, D) last hidden states, the model's dropout switched off."""
        model = self.backbone.model
        with self.backbone.evaluating():
            if self.backbone.family == "encoder-decoder":
                out = model.get_encoder()(input_ids=self.batch_of(ids))
            else:
                out = model.base_model(input_ids=self.batch_of(ids), use_cache=False)
        return out.last_hidden_state


def mean_direction(vectors: Tensor) -> Tensor:
    """Return the mean (D,) of (1, tokens, D) vectors in float32, scaled to length 1."""
    return F.normalize(vectors[0].float().mean(0), dim=-1)
