"""The prompt of a stored task: the same words as in training."""

from amlora.mixture.manifest import TaskCard
from amlora.streams.prompt import Prompt, build_prompt
from amlora.streams.task import Task


def prompt_of(card: TaskCard, text: str) -> Prompt:
    """Put a text into a stored task's prompt."""
    task = Task(
        name=card.name,
        instruction=card.instruction,
        options=card.options,
        train=(),
        dev=(),
        test=(),
        category=card.category,
        dataset=card.dataset,
        cue=card.cue,
        show_options=card.show_options,
    )
    return build_prompt(task, text, prefix=card.prefix, form=card.form)
