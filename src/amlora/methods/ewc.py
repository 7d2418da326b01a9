"""Elastic weight consolidation (Kirkpatrick et al. 2017, equation 3), one running Fisher sum."""

from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from amlora.engine.backbone import Backbone
from amlora.engine.batch import seed_of
from amlora.methods.base import Stage, State, Terms
from amlora.methods.parts.fisher import Labels, add_fisher, pull
from amlora.methods.parts.memory import Memory
from amlora.methods.parts.trainable import TrainableSettings
from amlora.methods.seq_ft import SeqFT


class EWCSettings(TrainableSettings):
    """What learns, how its importance is measured, and how much that counts."""

    strength: PositiveFloat = 400.0
    """lambda of equation 3; the value of TRACE (arXiv 2310.06762), whose Fisher is another one."""
    fisher_rows: PositiveInt = 128
    """Rows of a task, drawn at random, over which its Fisher is measured; at most all."""
    labels: Labels = "sampled"
    """"sampled": answers drawn from the model, the Fisher. "true": the gold ones, the empirical
    Fisher (Kunstner 2019, arXiv 1905.12558)."""
    decay: Annotated[float, Field(ge=0, le=1)] = 1.0
    """What the sum of earlier Fishers is multiplied by before a new one is added; gamma of online
    EWC (Schwarz 2018, arXiv 1805.06370)."""


class EWC(SeqFT):
    """Pull each weight towards its old value by how much old tasks relied on it."""

    Settings = EWCSettings

    def __init__(self, backbone: Backbone, settings: EWCSettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.options = settings
        self.fisher: dict[str, Tensor] = {}  # by weight, >= 0; none before the first task's end
        self.anchor: dict[str, Tensor] = {}  # the weights at the last task's end

    def penalty(self) -> Terms:
        """Return the pull towards the weights after the last task."""
        if not self.fisher:
            return {}
        weights = self.trainable.weights()
        return {"ewc": self.options.strength * pull(weights, self.anchor, self.fisher)}

    def end(self, stage: Stage) -> None:
        """Measure the Fisher at this task's optimum, and drop anchor there."""
        weights = self.trainable.weights()
        if not self.fisher:
            self.fisher = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for tensor in self.fisher.values():
            tensor.mul_(self.options.decay)
        count = min(self.options.fisher_rows, len(stage.rows))
        add_fisher(
            self.fisher,
            self.backbone,
            weights,
            Memory(stage.rows).draw(count, self.seed, stage.index, "fisher rows"),
            labels=self.options.labels,
            generator=torch.Generator().manual_seed(seed_of(self.seed, stage.index, "fisher")),
        )
        self.anchor = {name: weight.detach().clone() for name, weight in weights.items()}

    def state(self) -> State:
        """Return what is trained, the Fisher sum and the anchor."""
        state = super().state()
        kept = {"fisher": self.fisher, "anchor": self.anchor}
        tensors = {f"{kind}/{name}": t for kind, of in kept.items() for name, t in of.items()}
        return State({**state.tensors, **tensors}, state.values)

    def restore(self, state: State) -> None:
        super().restore(state)
        device = self.backbone.model.device
        self.fisher, self.anchor = {}, {}
        if any(name.startswith("fisher/") for name in state.tensors):
            for kind, into in (("fisher", self.fisher), ("anchor", self.anchor)):
                for name, weight in self.trainable.state().tensors.items():
                    if not name.endswith(".w"):  # a lone LoRA's selector never learns
                        stored = state.take(f"{kind}/{name}", tuple(weight.shape), weight.dtype)
                        into[name] = stored.to(device, copy=True)
