"""Anchored LoRAs: every prompt is answered by the model as it was when its own stage ended.

A stage learns as in IncLoRA or AM-LoRA. When it ends, its selectors are kept (the LoRAs are frozen
anyway), so that its model can be had again: LoRAs 1..k with these selectors, later LoRAs absent. A
statistic of the prompt alone tells the stage, or that there is none: then the base model answers as
if nothing had been learned. No task id is needed and no row is stored.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row
from amlora.engine.route import Router, vector_of
from amlora.errors import InputError
from amlora.methods.am_lora import AMLoRA, AMLoRASettings
from amlora.methods.base import Stage, State
from amlora.methods.lora import PerTask
from amlora.mixture.normals import Covariance
from amlora.mixture.stages import Mixing, Stages, StageSettings


class AnchoredLoRASettings(AMLoRASettings):
    """How stages learn, and how a prompt's stage is told."""

    combine: Literal["sum", "attention"] = "sum"
    """"sum": stages learn as in IncLoRA; attention did not beat it (docs of the method).
    "attention": as in AM-LoRA, with its settings."""
    sparsity: PerTask = 0.0
    """lambda of equation 6, one number or one per task; the paper's AM-LoRA has 1e-5."""
    mixing: Mixing = "hard"
    """"hard": the likeliest stage answers. "soft": stages answer in the shares of their
    posterior; shares below 1/1000 are left out."""
    temperature: float = 1.0
    """Divides the discriminant scores before the softmax; 1 is Bayes' rule for normal
    distributions (Fisher 1936; Hastie, Tibshirani & Friedman 2009, section 4.3)."""
    reject: float = 0.001
    """The share of a task's own prompts that may be taken for foreign and so be left to the base
    model, as estimated from its training prompts; of new ones it is more (docs of the method).
    0: no prompt is foreign."""
    covariance: Covariance = "full"
    """"full": D x D numbers. "diagonal": D numbers, for wide models."""
    shrinkage: float | None = None
    """The sphere's share in each covariance; None for the estimate of Ledoit & Wolf 2004."""
    feature_layers: int = 0
    """What a prompt's vector is the mean of: 0 for its input embeddings, n for its states after the
    first n frozen layers, which tell more and cost a pass through them (measured in the docs)."""

    def check(self) -> None:
        """Refuse values out of range, and what would have no effect."""
        super().check()
        self.of_stages()
        if self.mixing == "hard" and self.temperature != 1:
            raise ValueError('temperature has no effect while mixing is "hard".')
        unused = AMLoRASettings(lora=self.lora, sparsity=0.0)
        if self.combine == "sum":
            for name, value in unused:
                if getattr(self, name) != value:
                    raise ValueError(f'{name} has no effect while combine is "sum".')

    def of_stages(self) -> StageSettings:
        """Return the part that tells stages apart."""
        return StageSettings(**self.model_dump(include=set(StageSettings.model_fields)))


class AnchoredLoRA(AMLoRA):
    """A LoRA per task, and each stage's model kept."""

    Settings = AnchoredLoRASettings
    settings: AnchoredLoRASettings
    version = 3  # as prompts that belong to no task are found since

    def __init__(self, backbone: Backbone, settings: AnchoredLoRASettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        if self.settings.combine == "sum":
            self.mixture.control.combine = "sum"
            self.selectors, self.start = "none", "zeros"
        self.stages = self.mixture.stages = Stages(self.settings.of_stages())
        self.router = Router(backbone, self.stages)
        # One made now, so that a model with too few layers is refused before it learns.
        self.width = len(self.vector((backbone.end_id,)))

    @classmethod
    def statistic_depth(cls, settings: AnchoredLoRASettings) -> int | None:
        """Stages are told apart by the prompt."""
        return settings.feature_layers

    def vector(self, ids: Sequence[int]) -> Tensor:
        """Return the vector (D) of a prompt that the statistic is of."""
        return vector_of(self.backbone, ids, self.settings.feature_layers)

    def begin_changes_answers(self, stage: Stage) -> bool:
        """A newcomer is no part of earlier stages' models."""
        return False

    def readable(self, rows: Sequence[Row], *, scoring: bool) -> Sequence[Row]:
        """Give rows that are scored the routes of their prompts; others have all LoRAs."""
        return self.router.routed(rows) if scoring else rows

    def end(self, stage: Stage) -> None:
        """Freeze, keep the selectors, and add the stage's prompts to the statistic."""
        super().end(stage)
        self.mixture.keep()
        self.stages.add(torch.stack([self.vector(row.prompt_ids) for row in stage.typical()]))

    def stored_parameters(self) -> int:
        """Return the size of all LoRAs, of all stages' selectors, and of the statistic."""
        loras = len(self.mixture)
        tensors = self.mixture.tensors().items()
        stored = sum(t.numel() for name, t in tensors if not name.endswith(".w"))
        if self.settings.combine == "attention":
            widths = [layer.bank.b.shape[1] for layer in self.mixture.layers.values()]
            stored += loras * (loras + 1) // 2 * sum(widths)
        return stored + self.stages.size(loras, self.width)

    def restore(self, state: State) -> None:
        """Take everything back; InputError where the statistic is of another model's prompts."""
        super().restore(state)
        if len(self.stages) and self.stages.width != self.width:
            raise InputError(f"stages.means: width {self.stages.width}, expected {self.width}.")
