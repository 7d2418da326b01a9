"""How a model learns to write a task's texts: a prompt names task and label, and a text follows."""

from collections.abc import Sequence
from dataclasses import replace

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row, encode_pairs
from amlora.streams.prompt import Prompt
from amlora.streams.task import Example, Task


def words_of(task: Task) -> Task:
    """Return a task without its examples: all that may be remembered of it."""
    return replace(task, train=(), dev=(), test=(), source="")


def ask(task: Task, label: str) -> Prompt:
    """Return the prompt that a text of a task with a label follows.

    Unlike an answer's prompt it names the task: others may have its instruction and labels.
    """
    instruction = f"{task.instruction}\n" if task.instruction else ""
    return Prompt(f"Write an example of {task.name}.\n{instruction}Label: {label}\n", "", "Text:")


def text_rows(
    backbone: Backbone, task: Task, examples: Sequence[Example], *, longest: int
) -> list[Row]:
    """Return examples as rows that are answered by their texts.

    A text of more than `longest` tokens is cut there and then has no end token: it goes on.

    Raises:
        InputError: the generation prompt is longer than `model.max_tokens`.
    """
    prompts = [ask(task, example.label) for example in examples]
    pairs = encode_pairs(backbone, prompts, [example.text for example in examples])
    return [
        Row(task.name, example.row, prompt_ids, text_ids[:longest], example.text)
        for example, (prompt_ids, text_ids) in zip(examples, pairs, strict=True)
    ]
