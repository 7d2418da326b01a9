"""IncLoRA: a new LoRA per task, all of them summed, earlier ones frozen (equations 2 and 3)."""

from typing import cast

import msgspec

from amlora.engine.backbone import Backbone
from amlora.methods.lora import LoRAMethod, OneLoRASettings


class IncLoRA(LoRAMethod):
    """Every LoRA at full weight, whatever the input."""

    combine = "sum"
    Settings = OneLoRASettings

    def __init__(self, backbone: Backbone, settings: msgspec.Struct, *, seed: int) -> None:
        lora = cast(OneLoRASettings, settings).lora
        super().__init__(backbone, settings, seed=seed, lora=lora)
