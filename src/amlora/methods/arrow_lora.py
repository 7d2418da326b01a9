"""ArrowLoRA: LoRAs learned each by itself, chosen per token by Arrow's prototypes (Ostapenko 2024).

Nothing is learned about which LoRA to use: a LoRA is chosen where the input lies along what the
LoRA reads most (arXiv 2405.11157). No task id, no stored data, and no earlier LoRA in the way.
"""

from amlora.engine.backbone import Backbone
from amlora.methods.base import Stage, State
from amlora.methods.lora import LoRAMethod, OneLoRASettings
from amlora.mixture.arrow import Arrow


class ArrowLoRASettings(OneLoRASettings):
    """The LoRAs, and how they are chosen."""

    arrow: Arrow = Arrow()
    """How many LoRAs a token may use, and how evenly."""


class ArrowLoRA(LoRAMethod):
    """A library of LoRAs that know nothing of one another."""

    Settings = ArrowLoRASettings
    settings: ArrowLoRASettings

    def __init__(self, backbone: Backbone, settings: ArrowLoRASettings, *, seed: int) -> None:
        super().__init__(backbone, settings, seed=seed)
        self.mixture.control.arrow = self.settings.arrow

    def open(self, stage: Stage) -> None:
        """While a LoRA learns, the model has no other."""
        super().open(stage)
        self.mixture.control.alone = True

    def end(self, stage: Stage) -> None:
        """Freeze; from here on it is one of those to choose from."""
        super().end(stage)
        self.mixture.control.alone = False

    def restore(self, state: State) -> None:
        super().restore(state)
        self.mixture.control.alone = False
