"""The diagonal of the Fisher information, and the pull towards old weights that it weighs.

Kirkpatrick et al. 2017, equation 3. The Fisher is the mean over rows of squared gradients of one
row's log-likelihood: gradients of many rows together, squared, are something else.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from amlora.engine.backbone import Backbone
from amlora.engine.batch import IGNORED, collate, target_logits
from amlora.engine.encode import Row

Labels = Literal["sampled", "true"]
"""Whose answers' likelihood it is. "sampled": drawn from the model, each token after the gold ones
before it; that is the Fisher. "true": the gold ones; the empirical Fisher (Kunstner 2019)."""


def add_fisher(
    fisher: Mapping[str, Tensor],
    backbone: Backbone,
    weights: Mapping[str, nn.Parameter],
    rows: Sequence[Row],
    *,
    labels: Labels,
    generator: torch.Generator,
) -> None:
    """Add the diagonal of the Fisher at the present weights.

    The model is read in eval mode, without dropout, and gradients of the weights stay as they are.

    Args:
        fisher: by name, the weights' shapes; changed in place.
        backbone: the model.
        weights: by name; all require grad.
        rows: over which the mean is taken, one forward and one backward pass each.
        labels: see `Labels`.
        generator: on the CPU; decides the sampled labels.
    """
    model = backbone.model
    training = model.training
    model.eval()
    for row in rows:
        with backbone.arithmetic():
            likelihood = log_likelihood(backbone, row, labels, generator)
        # A weight that the row's answer does not depend on has no gradient.
        found = torch.autograd.grad(likelihood, list(weights.values()), allow_unused=True)
        for name, gradient in zip(weights, found, strict=True):
            if gradient is not None:
                fisher[name].addcmul_(gradient, gradient, value=1 / len(rows))
    model.train(training)


def log_likelihood(
    backbone: Backbone, row: Row, labels: Labels, generator: torch.Generator
) -> Tensor:
    """Return the log-likelihood of one row's answer, summed over its tokens, the end token too."""
    batch = collate([row], backbone, share=1.0)
    logits = target_logits(backbone, batch).float()[0]
    wanted = batch.labels[0]
    assert (wanted != IGNORED).all()  # one row needs no padding
    if labels == "sampled":
        chances = logits.detach().softmax(-1).cpu()
        wanted = torch.multinomial(chances, 1, generator=generator)[:, 0].to(wanted)
    return -F.cross_entropy(logits, wanted, reduction="sum")


class Pull(torch.autograd.Function):
    """1/2 sum of fisher * (weight - anchor)^2 over one weight's numbers.

    The gradient, fisher * (weight - anchor), is on the way to the value, so it is kept for the
    backward pass and nothing is computed twice.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, anchor: Tensor, fisher: Tensor) -> Tensor:
        drift = weight - anchor
        gradient = fisher * drift
        ctx.save_for_backward(gradient)
        return drift.mul_(gradient).sum() / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, share: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * share, None, None


def pull(
    weights: Mapping[str, Tensor], anchor: Mapping[str, Tensor], fisher: Mapping[str, Tensor]
) -> Tensor:
    """Return half the sum over all weights of fisher * (weight - anchor)^2."""
    pulls = [Pull.apply(weight, anchor[name], fisher[name]) for name, weight in weights.items()]
    return torch.stack(pulls).sum()
