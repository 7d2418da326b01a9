"""A task (instruction, options, examples) and a stream of tasks, as all other parts see them.

And when two answers, or two texts, count as the same.
"""

import string
import unicodedata
from collections import Counter
from dataclasses import dataclass, field

from amlora import files

UNLABELLED = "-"  # GLUE's own mark for a row its annotators did not agree on
PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One text and the answer that is right for it."""

    text: str
    label: str
    row: str
    """Stable id inside its task: the split it was read from and its place there ("test:12")."""
    place: str = field(default="", compare=False, repr=False)
    """File and line it was read from, for errors; not part of the digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to learn. `load_stream` makes tasks whose examples have been checked."""

    name: str
    instruction: str
    options: tuple[str, ...]
    """The allowed answers; empty means free text."""
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]
    category: str = ""
    """Kind of task, named by the `Task:` prefix."""
    dataset: str = ""
    """What the `Dataset:` prefix names; empty means the task's name."""
    cue: str = "Answer:"
    show_options: bool = True
    text_column: str = "text"
    """The column of its tables that holds the text; not part of the digest."""
    forms: tuple[str, ...] = ()
    """How the text is put together from several columns; not part of the digest."""
    source: str = ""
    """Where the examples come from, for a reader; not part of the digest."""

    def digest(self) -> str:
        """Return the sha256 of all that decides this task's prompts, answers and splits."""
        return files.digest(
            {
                "name": self.name,
                "instruction": self.instruction,
                "options": list(self.options),
                "category": self.category,
                "dataset": self.dataset,
                "cue": self.cue,
                "show_options": self.show_options,
                "train": plain(self.train),
                "dev": plain(self.dev),
                "test": plain(self.test),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStream:
    """Tasks in the order in which they are learned."""

    name: str
    tasks: tuple[Task, ...]

    def digest(self) -> str:
        """Return the sha256 of the tasks and their order."""
        return files.digest([task.digest() for task in self.tasks])


def majority(examples: tuple[Example, ...]) -> float:
    """Return the share (0..1) of the most frequent label: what a constant answer scores."""
    counts = Counter(example.label for example in examples)
    return max(counts.values()) / len(examples) if examples else 0.0


def plain(examples: tuple[Example, ...]) -> list[list[str]]:
    """Return examples as lists of strings, so that they can be hashed."""
    return [[example.row, example.text, example.label] for example in examples]


def answer_key(answer: str) -> str:
    """Return what is left of an answer for exact match: lower case, no punctuation, no white space.

    White space goes altogether, so two options with equal keys could be taken for each other.
    """
    return "".join(answer.lower().translate(PUNCTUATION).split())


def text_key(text: str) -> str:
    """Return a text without case, punctuation and extra white space, to find it again elsewhere."""
    return " ".join(text.casefold().translate(PUNCTUATION).split()) or text


def look_key(answer: str) -> str:
    """Return an answer's key without what nobody sees; answers with equal keys look alike.

    Accents are joined to their letters (NFC); zero width characters, marks of direction, soft
    hyphens (category Cf) and variation selectors are left out.
    """
    joined = unicodedata.normalize("NFC", answer)
    seen = (each for each in joined if unicodedata.category(each) != "Cf")
    return answer_key("".join(each for each in seen if not "\ufe00" <= each <= "\ufe0f"))
