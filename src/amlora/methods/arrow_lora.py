"""ArrowLoRA: LoRAs learned each by itself, chosen per token by Arrow's prototypes (Ostapenko 2024).

Nothing is learned about which LoRA to use: a LoRA is chosen where the input lies along what the
LoRA reads most (arXiv 2405.11157). No task id, no stored data, and no earlier LoRA in the way.
"""

from amlora.engine.backbone import Backbone
from amlora.methods.base import Stage, State
from amlora.methods.lora import LoRAMethod, LoRASettings
from amlora.mixture.arrow import Arrow
from amlora.settings import Settings


class ArrowLoRASettings(Settings):
    """The LoRAs, and how they are chosen."""

    lora: LoRASettings = LoRASettings()
    arrow: Arrow = Arrow()
    """How many LoRAs a token may use, and how evenly."""


class ArrowLoRA(LoRAMethod):
    """A library of LoRAs that know nothing of one another."""

    combine = "sum"
    Settings = ArrowLoRASettings

    def __init__(self, backbone: Backbone, settings: ArrowLoRASettings, *, seed: int) -> None:
        options = settings
        super().__init__(backbone, settings, seed=seed, lora=options.lora)
        self.mixture.control.arrow = options.arrow

    def begin(self, stage: Stage) -> None:
        """Add this task's LoRA; while it learns, the model has no other."""
        super().begin(stage)
        self.mixture.control.alone = True

    def end(self, stage: Stage) -> None:
        """Freeze; from here on it is one of those to choose from."""
        super().end(stage)
        self.mixture.control.alone = False

    def restore(self, state: State) -> None:
        super().restore(state)
        self.mixture.control.alone = False

    def resume(self, state: State, stage: Stage) -> None:
        super().resume(state, stage)
        self.mixture.control.alone = True
