"""AM-LoRA: a new LoRA per task and an attention over all of them (equations 4 to 6).

While a task is learned, its LoRA and the selectors are trained; earlier LoRAs are frozen. The paper
trains all selectors with an L1 penalty ("AR + L1"); "new" and a sparsity of 0 give the other three
rows of figure 5.
"""

import math
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch.nn import functional as F

from amlora.engine.backbone import Backbone
from amlora.methods.base import LITTLE, ParameterGroup, Stage, Terms
from amlora.methods.lora import LoRAMethod, OneLoRASettings, PerTask, number_of, numbers
from amlora.mixture.bank import Start, Trained


class AMLoRASettings(OneLoRASettings):
    """The LoRAs, the selectors, and what the paper leaves open (docs/paper.md)."""

    selectors: Trained = "all"
    """Which selectors learn with a new task: "all" (AR), "new" (NR), or "none" (figure 5)."""
    selector_lr: PositiveFloat | None = None
    """The selectors' learning rate; None for that of the LoRAs."""
    start: Start = "uniform"
    """How a new selector starts; the paper does not say."""
    sparsity: PerTask = 1e-5
    """lambda of equation 6, one number or one per task (section 7.3)."""
    sparsity_form: Literal["loss", "proximal"] = "loss"
    """In the loss, as the paper does; or a soft threshold of lr * lambda after each step, which
    makes weights exactly 0. That takes a far larger lambda: at 1e-5 it does nothing in a run."""
    newcomer: Literal["paper", "ramp"] = "paper"
    """"paper": a new LoRA takes its share at once. "ramp": it is shut out at first and let in over
    the first half of its stage."""
    gain: Literal["one", "loras"] = "one"
    """Multiply the mixture by one (the paper) or by N + 1: uniform scores then give a plain sum."""

    def check(self) -> None:
        """Refuse what would have no effect."""
        penalised = any(numbers(self.sparsity))
        if self.selectors == "none":
            if self.selector_lr is not None:
                raise ValueError('selector_lr has no effect while selectors is "none".')
            if penalised:
                raise ValueError(
                    'sparsity has no effect while selectors is "none"; set sparsity to 0.'
                )
        if self.sparsity_form == "proximal" and not penalised:
            raise ValueError('sparsity_form "proximal" has no effect while sparsity is 0.')


class AMLoRA(LoRAMethod):
    """The method of the paper."""

    combine = "attention"
    Settings = AMLoRASettings
    settings: AMLoRASettings
    per_task = ("sparsity",)

    def __init__(self, backbone: Backbone, settings: AMLoRASettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.selectors = self.settings.selectors
        self.start = self.settings.start
        self.mixture.control.gain = self.settings.gain == "loras"

    def begin(self, stage: Stage) -> None:
        """Add this task's LoRA and selector."""
        super().begin(stage)
        if self.settings.newcomer == "ramp":
            self.mixture.control.newcomer = -math.inf

    def begin_changes_answers(self, stage: Stage) -> bool:
        """A newcomer's logit of 0 enters the softmax before it has learned anything."""
        return stage.index > 0 and self.settings.newcomer == "paper"

    def parameters(self) -> list[ParameterGroup]:
        """Return the newest LoRA, and the selectors at their own rate."""
        groups = super().parameters()
        if selectors := self.mixture.selector_parameters():
            groups.append(ParameterGroup("selector", selectors, self.settings.selector_lr))
        return groups

    @property
    def strength(self) -> float:
        """Equation 6's lambda in the stage that learns."""
        return number_of(self.settings.sparsity, self.index)

    def penalty(self) -> Terms:
        """Return the L1 term of equation 6."""
        if self.settings.sparsity_form == "loss" and self.strength:
            return {"sparsity": self.strength * self.mixture.sparsity()}
        return {}

    def before_step(self, stage: Stage, step: int) -> None:
        """Let the newcomer in, by exp(offset) growing from 0 to 1."""
        if self.settings.newcomer == "ramp":
            self.mixture.control.newcomer = math.log(min(1.0, 2 * (step + 1) / stage.steps))

    def after_step(self, stage: Stage, step: int, lr: dict[str, float]) -> None:
        """Apply the proximal form of the L1 term: move each weight towards 0 by lr * lambda."""
        if self.settings.sparsity_form == "proximal":
            with torch.no_grad():
                for selector in self.mixture.selector_parameters():
                    selector.copy_(F.softshrink(selector, lr["selector"] * self.strength))

    def remarks(self, stage: Stage) -> list[str]:
        """Say where the soft threshold is far below the optimiser's step, which is about lr."""
        if self.settings.sparsity_form != "proximal" or not 0 < self.strength < LITTLE:
            return []
        return [
            f"the soft threshold of sparsity_form = 'proximal' moved a weight by lr *"
            f" {self.strength:g} a step, and AdamW by about lr, so it did next to nothing."
        ]

    def end(self, stage: Stage) -> None:
        """Freeze; from here on the newcomer is one of the others."""
        super().end(stage)
        self.mixture.control.newcomer = 0.0
