"""Elastic weight consolidation (Kirkpatrick et al. 2017, equation 3), one running Fisher sum.

loss = task + strength / 2 * sum of fisher * (weight - anchor)^2. The Fisher is the mean over rows
of squared gradients of one row's log-likelihood: gradients of many rows together, squared, are
something else.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from amlora.engine.backbone import Backbone
from amlora.engine.batch import IGNORED, collate, seed_of, target_logits
from amlora.engine.encode import Row
from amlora.methods.base import Stage, Terms
from amlora.methods.parts.memory import some_rows
from amlora.methods.seq_ft import SeqFT, TrainableSettings

Labels = Literal["sampled", "true"]
"""Whose answers' likelihood it is; see `EWCSettings.labels`."""


class EWCSettings(TrainableSettings):
    """What learns, how its importance is measured, and how much that counts."""

    strength: PositiveFloat = 400.0
    """lambda of equation 3; the value of TRACE (arXiv 2310.06762), whose Fisher is another one."""
    fisher_rows: PositiveInt = 128
    """Rows of a task, drawn at random, over which its Fisher is measured; at most all."""
    labels: Labels = "sampled"
    """Whose likelihood it is. "sampled": answers drawn from the model, each token after the gold
    ones before it: the Fisher. "true": the gold answers, the empirical Fisher (Kunstner 2019, arXiv
    1905.12558)."""
    decay: Annotated[float, Field(ge=0, le=1)] = 1.0
    """What the sum of earlier Fishers is multiplied by before a new one is added; gamma of online
    EWC (Schwarz 2018, arXiv 1805.06370)."""


class EWC(SeqFT):
    """Pull each weight towards its old value by how much old tasks relied on it."""

    Settings = EWCSettings
    settings: EWCSettings

    def __init__(self, backbone: Backbone, settings: EWCSettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.fisher: dict[str, Tensor] = {}  # by weight, >= 0; none before the first task's end
        self.anchor: dict[str, Tensor] = {}  # the weights at the last task's end
        self.keep_tensors("fisher", self.trainable.tensors, optional=True)
        self.keep_tensors("anchor", lambda: dict(self.trainable.tensors() if self.fisher else {}))

    def penalty(self) -> Terms:
        """Return the pull towards the weights after the last task."""
        if not self.fisher:
            return {}
        weights = self.trainable.weights()
        return {"ewc": self.settings.strength * pull(weights, self.anchor, self.fisher)}

    def end(self, stage: Stage) -> None:
        """Measure the Fisher at this task's optimum, and drop anchor there."""
        weights = self.trainable.weights()
        if not self.fisher:
            self.fisher = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for tensor in self.fisher.values():
            tensor.mul_(self.settings.decay)
        add_fisher(
            self.fisher,
            self.backbone,
            weights,
            some_rows(stage.rows, self.settings.fisher_rows, self.seed, stage.index, "fisher rows"),
            labels=self.settings.labels,
            generator=torch.Generator().manual_seed(seed_of(self.seed, stage.index, "fisher")),
        )
        self.anchor = {name: weight.detach().clone() for name, weight in weights.items()}


def add_fisher(
    fisher: Mapping[str, Tensor],
    backbone: Backbone,
    weights: Mapping[str, nn.Parameter],
    rows: Sequence[Row],
    *,
    labels: Labels,
    generator: torch.Generator,
) -> None:
    """Add to `fisher`, in place, its diagonal at the present weights: the mean over rows.

    Each row takes a forward and a backward pass, without dropout; gradients of the weights, which
    all require them, stay as they are. The generator is on the CPU.
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
