"""MeanLoRA, a control: every LoRA at weight 1 / (N + 1), which is attention that never learned."""

from amlora.methods.base import Stage
from amlora.methods.lora import LoRAMethod


class MeanLoRA(LoRAMethod):
    """AM-LoRA with selectors at zero that are not trained: does attention matter at all?"""

    combine = "mean"

    def begin_changes_answers(self, stage: Stage) -> bool:
        """Every newcomer takes an equal share from the others before it has learned anything."""
        return stage.index > 0
