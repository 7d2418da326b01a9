"""Real rows of six tasks whose answers differ in shape, for comparing the pass with generation.

short (COPA: one letter), long and of several tokens (DBpedia), capitals and "&" (Yahoo), one option
inside another (Amazon), several words (AG News), and one the start of the other (SMS, relabelled).
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from amlora.cache import cache_folder
from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row, encode_rows
from amlora.engine.exact import exact_match, generated_match
from amlora.streams.load import load_stream
from amlora.streams.settings import StreamSettings
from amlora.streams.task import Example, Task

REFERENCE = ("copa", "dbpedia", "yahoo", "amazon", "agnews")
SMS = {"normal": "Spam-free, harmless", "spam": "Spam"}


def data_root() -> Path:
    """Return the reference data's folder, or skip."""
    root = os.environ.get("AMLORA_DATA_ROOT", "")
    if not root:
        pytest.skip("AMLORA_DATA_ROOT is not set: no reference data")
    return Path(root)


def needs_the_cache(part: str) -> None:
    """Skip where a part of the quick start is not in the cache."""
    if not list((cache_folder() / part).glob("*")):
        pytest.skip(f"the cache has no {part}; `make demo` fetches them")


def tasks(rows: int) -> Iterator[Task]:
    """Yield each task with so many test rows, drawn from all its splits, and others to train on."""
    settings = StreamSettings(order="6", data_root=str(data_root()), balanced=True)
    known = {task.name: task for task in load_stream(settings)[0].tasks}
    for name in REFERENCE:
        yield split(known[name], rows)
    needs_the_cache("wheels")
    quick = load_stream(StreamSettings(name="quickstart", balanced=True))[0]
    sms = next(task for task in quick.tasks if task.name == "sms")
    renamed = {part: relabelled(getattr(sms, part)) for part in ("train", "dev", "test")}
    yield split(replace(sms, options=tuple(SMS[o] for o in sms.options), **renamed), rows)


def relabelled(examples: tuple[Example, ...]) -> tuple[Example, ...]:
    """Return SMS examples with other labels."""
    return tuple(replace(example, label=SMS[example.label]) for example in examples)


def split(task: Task, rows: int) -> Task:
    """Keep so many rows for the test, whatever split they come from, and the rest to train on."""
    together = (*task.test, *task.train)
    return replace(task, test=together[:rows], train=together[rows:], dev=())


def encoded(backbone: Backbone, task: Task, part: tuple[Example, ...]) -> list[Row]:
    """Return rows as the model reads them."""
    return encode_rows(backbone, task, part, prefix="off", form="full")


def compare(backbone: Backbone, rows: list[Row], *, new_tokens: int, state: str) -> list[str]:
    """Return the rows whose score by the pass differs from that by generation, and print counts."""
    ours, counts = exact_match(backbone, rows, tokens_per_batch=2048, max_new_tokens=new_tokens)
    reference, _ = generated_match(backbone, rows, max_new_tokens=new_tokens)
    pairs = zip(rows, ours, reference, strict=True)
    differing = [f"{row.task}/{row.row}" for row, one, other in pairs if one.hit != other.hit]
    hits = sum(answer.hit for answer in reference)
    print(
        f"{backbone.family} {backbone.precision} {state} {rows[0].task}: {len(rows)} rows,"
        f" {hits} right; {counts}; {len(differing)} differ",
        flush=True,
    )
    return differing
