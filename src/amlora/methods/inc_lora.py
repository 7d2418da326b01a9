"""IncLoRA: a new LoRA per task, all of them summed, earlier ones frozen (equations 2 and 3)."""

from amlora.methods.lora import LoRAMethod


class IncLoRA(LoRAMethod):
    """Every LoRA at full weight, whatever the input."""

    combine = "sum"
