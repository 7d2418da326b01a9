"""IncLoRA: a new LoRA per task, all of them summed, earlier ones frozen (equations 2 and 3)."""

from amlora.engine.backbone import Backbone
from amlora.methods.lora import LoRAMethod, OneLoRASettings


class IncLoRA(LoRAMethod):
    """Every LoRA at full weight, whatever the input."""

    combine = "sum"
    Settings = OneLoRASettings

    def __init__(self, backbone: Backbone, settings: OneLoRASettings, *, seed: int) -> None:
        lora = settings.lora
        super().__init__(backbone, settings, seed=seed, lora=lora)
