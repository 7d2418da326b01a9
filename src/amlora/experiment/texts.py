"""A run's texts as token ids: what is trained on and scored, what is lost, and room for answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row, longest_option
from amlora.engine.token_cache import TokenCache
from amlora.evaluate.lost import Lost, lost_lines
from amlora.experiment.general import General
from amlora.experiment.settings import RunSettings
from amlora.streams.prompt import build_prompt
from amlora.streams.task import Task, TaskStream


@dataclass(frozen=True)
class Encoded:
    """The rows of each task, in the stream's order.

    Attributes:
        train: what is trained on.
        scored: what is scored.
        lost: what tokenising lost of each split, by its name.
    """

    train: list[list[Row]]
    scored: list[list[Row]]
    lost: list[dict[str, Lost]]


def encode_stream(settings: RunSettings, stream: TaskStream, backbone: Backbone) -> Encoded:
    """Tokenise the train rows of each task, and those that are scored."""
    words, split = settings.stream, settings.evaluate.split
    encoded = Encoded([], [], [])
    cache = TokenCache(backbone, prefix=words.prefix, form=words.form)
    for task in stream.tasks:
        splits = {"train": task.train, split: task.test if split == "test" else task.dev}
        rows = {name: cache.rows(task, examples) for name, examples in splits.items()}
        encoded.train.append(rows["train"][0])
        encoded.scored.append(rows[split][0])
        encoded.lost.append({name: lost for name, (_, lost) in rows.items()})
    return encoded


def lost_warnings(
    encoded: Encoded, stream: TaskStream, general: General | None, settings: RunSettings
) -> list[str]:
    """Say what is lost of each task's texts, and of those of no task; nothing where nothing is."""
    lines: list[str] = []
    for task, train, scored, lost in zip(
        stream.tasks, encoded.train, encoded.scored, encoded.lost, strict=True
    ):
        counts = {"train": len(train), settings.evaluate.split: len(scored)}
        splits = {name: (found, counts[name]) for name, found in lost.items()}
        lines += lost_lines(task.name, splits, settings.model.max_tokens)
    if general:
        counts = {"passage": len(general.passages), "question": len(general.questions)}
        splits = {kind: (found, counts[kind]) for kind, found in general.lost.items()}
        lines += lost_lines("evaluate.general", splits, settings.model.max_tokens)
    return lines


def with_room(
    settings: RunSettings,
    backbone: Backbone,
    tasks: Sequence[Task],
    scored: Sequence[Sequence[Row]],
) -> tuple[RunSettings, list[str]]:
    """Raise `evaluate.max_new_tokens` where an answer is longer: it could never be right.

    Returns:
        The settings, and a line that says whose answer it was; none where nothing was raised.
    """
    limit, words = settings.evaluate.max_new_tokens, settings.stream
    longest: dict[str, int] = {}
    for task, rows in zip(tasks, scored, strict=True):
        prompt = build_prompt(task, "", prefix=words.prefix, form=words.form)
        # Of the options too: a wrong one that is cut could pass for a right one.
        option = longest_option(backbone, prompt, task.options)
        longest[task.name] = max([option, *(len(row.answer_ids) for row in rows)])
    name = max(longest, key=lambda each: longest[each])
    if longest[name] - 1 <= limit:  # an answer that was cut before its end token is still right
        return settings, []
    evaluate = settings.evaluate.replace(max_new_tokens=longest[name])
    return settings.replace(evaluate=evaluate), [
        f"{name}: its longest answer has {longest[name]} tokens, its end included;"
        f" evaluate.max_new_tokens is raised to it from {limit}."
    ]
