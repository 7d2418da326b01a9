"""SinLoRA: one LoRA for all tasks, trained on one after the other."""

from amlora.methods.base import Stage
from amlora.methods.lora import ALL, LoRAMethod


class SinLoRA(LoRAMethod):
    """Nothing is frozen and nothing is kept, so it shows how much a method forgets by default."""

    def begin(self, stage: Stage) -> None:
        """Make the only LoRA at the first task; keep training it at every later one."""
        if stage.index == 0:
            super().begin(stage)
        self.open(stage)

    def lora_name(self, stage: Stage) -> str:
        """Belong to no task."""
        return ALL
