"""Distillation from an earlier soft prompt: the model is the same, only the prompt is older.

The term is the Kullback-Leibler divergence KL(teacher || student) over the vocabulary, summed over
target positions (Hinton et al. 2015 at temperature 1; Qin & Joty 2022).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from amlora.engine.backbone import Backbone
from amlora.engine.batch import IGNORED, Batch, target_logits
from amlora.methods.parts.prompts import PromptEmbedding


def divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Return KL(teacher || student) in nats, summed over positions.

    Args:
        teacher: (positions, vocabulary) logits.
        student: the same shape; only here do gradients flow.
    """
    wanted, given = teacher.detach().log_softmax(-1), student.log_softmax(-1)
    return F.kl_div(given, wanted, reduction="sum", log_target=True)


def only(batch: Batch, chosen: Sequence[int]) -> Batch:
    """Return some rows of a batch, padded as they are."""
    index = torch.tensor(chosen, device=batch.labels.device)
    inputs = {name: tensor[index] for name, tensor in batch.inputs.items()}
    return Batch(tuple(batch.rows[i] for i in chosen), inputs, batch.labels[index], batch.share)


@contextmanager
def with_vectors(backbone: Backbone, embedding: PromptEmbedding, vectors: Tensor) -> Iterator[None]:
    """Let the model read other soft vectors, in eval mode and without gradients."""
    own = embedding.vectors
    embedding.vectors = lambda: vectors
    try:
        with torch.no_grad(), backbone.evaluating():
            yield
    finally:
        embedding.vectors = own


def drift(
    backbone: Backbone,
    embedding: PromptEmbedding,
    former: Tensor,
    batch: Batch,
    logits: Tensor,
    chosen: Sequence[int],
) -> Tensor:
    """Return how far the model has moved from its former self, summed over some rows' targets.

    Args:
        backbone: the student.
        embedding: where it reads its soft vectors.
        former: (P, D) vectors of the teacher.
        batch: what the student has read.
        logits: (rows, L, vocabulary) of the student.
        chosen: places of the rows that count; none gives 0.
    """
    if not chosen:
        return logits.new_zeros(())
    part = only(batch, chosen)
    with with_vectors(backbone, embedding, former):
        teacher = target_logits(backbone, part).float()
    targets = part.labels != IGNORED
    return divergence(teacher[targets], logits[list(chosen)][targets])
