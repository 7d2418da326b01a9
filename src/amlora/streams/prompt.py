"""The prompt of one example, in the form of the reference implementation of the paper's protocol.

Task:{category}             with a prefix only
Dataset:{dataset}           with a prefix only
{instruction}
Option: {a}, {b}, {c}       (a blank stands before the line's end)
{text}
Answer:
"""

from dataclasses import dataclass
from typing import Literal

from amlora.streams.task import Task

Prefix = Literal["off", "task", "task+dataset"]
Form = Literal["full", "blind"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt in three parts; one that is too long is shortened in `text` and nowhere else."""

    before: str
    text: str
    after: str

    @property
    def full(self) -> str:
        """The whole prompt."""
        return self.before + self.text + self.after


def build_prompt(task: Task, text: str, *, prefix: Prefix = "off", form: Form = "full") -> Prompt:
    """Put an example's text, unchanged, into its task's prompt.

    The lines of a prefix stand before the instruction. They tell the model which task it is; the
    form "blind" leaves only the text and the cue, so that the prompt does not.
    """
    after = "\n" + task.cue
    if form == "blind":
        return Prompt("", text, after)
    before = ""
    if prefix != "off":
        before += f"Task:{task.category}\n"
    if prefix == "task+dataset":
        before += f"Dataset:{task.dataset or task.name}\n"
    if task.instruction:
        before += f"{task.instruction}\n"
    if task.options and task.show_options:
        before += f"Option: {', '.join(task.options)} \n"
    return Prompt(before, text, after)
