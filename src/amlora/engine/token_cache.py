"""Rows as token ids, kept in the user's cache, so that a split is tokenised and shortened once.

A file is named by the hash of all that decides the ids: the tokenizer, the words around the texts,
the texts, and the longest prompt. A damaged one is made again.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import tokenizers

from amlora import cache, files
from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row, encode_split
from amlora.evaluate.lost import Lost
from amlora.streams.prompt import Form, Prefix
from amlora.streams.task import Example, Task, plain

WORTH = 1000
"""Rows from which a file is kept; fewer are tokenised in a second."""
MOST = 1 << 30  # bytes of a file
FORMAT = 2  # raised when `encode.py` gives other ids for the same texts


def cached_rows(
    backbone: Backbone, task: Task, examples: Sequence[Example], *, prefix: Prefix, form: Form
) -> tuple[list[Row], Lost]:
    """Return what `encode_split` returns, from the cache where it is there.

    Raises:
        InputError: as `encode_split`.
    """
    if len(examples) < WORTH:
        return encode_split(backbone, task, examples, prefix=prefix, form=form)
    path = place(backbone, task, examples, prefix=prefix, form=form)
    if os.path.exists(path):  # no error where one may not look
        try:
            found = files.read_sealed(path, most=MOST)
            pairs = zip(found["prompts"], found["answers"], strict=True)
            rows = [
                Row(task.name, example.row, tuple(prompt), tuple(answer), example.label)
                for example, (prompt, answer) in zip(examples, pairs, strict=True)
            ]
            return rows, msgspec.convert(found["lost"], Lost)
        except (KeyError, TypeError, ValueError, OSError):  # an InputError is a ValueError
            with suppress(OSError):
                files.remove(path)
    rows, lost = encode_split(backbone, task, examples, prefix=prefix, form=form)
    ids = {"prompts": [row.prompt_ids for row in rows], "answers": [row.answer_ids for row in rows]}
    with suppress(OSError):  # a cache that cannot be written, as in a read-only home, is none
        files.make_folder(path.parent)
        files.write_sealed(path, {**ids, "lost": msgspec.to_builtins(lost)})
    return rows, lost


def place(
    backbone: Backbone, task: Task, examples: Sequence[Example], *, prefix: Prefix, form: Form
) -> Path:
    """Return the file of a split's ids."""
    tokenizer = backbone.tokenizer.backend_tokenizer
    assert isinstance(tokenizer, tokenizers.Tokenizer), "load_backbone refuses slow tokenizers"
    words = [task.name, task.instruction, list(task.options), task.category, task.dataset]
    decisive = {
        "format": FORMAT,
        "tokenizers": tokenizers.__version__,
        "tokenizer": tokenizer.to_str(),
        "family": backbone.family,
        "end": backbone.end_id,
        "longest": backbone.settings.max_tokens,
        "words": [*words, task.cue, task.show_options, prefix, form],
        "examples": plain(tuple(examples)),
    }
    if backbone.without_embedding:  # what is kept was tokenised without any of these
        decisive["beyond"] = sorted(backbone.without_embedding)
    return cache.place("tokens", f"{files.digest(decisive)}.json")
