"""Rows as token ids, kept in the user's cache, so that a split is tokenised and shortened once.

A file is named by the hash of all that decides the ids: the tokenizer, the words around the texts,
the texts, and the longest prompt. A damaged one is made again.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import tokenizers

from amlora import cache, files
from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row, encode_rows
from amlora.evaluate.lost import Lost
from amlora.formats import typed
from amlora.streams.prompt import Form, Prefix
from amlora.streams.task import Example, Task, plain

WORTH = 1000
"""Rows from which a file is kept; fewer are tokenised in a second."""
MOST = 1 << 30  # bytes of a file
FORMAT = 3  # raised when `encode.py` gives other ids for the same texts


class TokenCache:
    """The ids of the splits that one backbone has tokenised, under one prefix and form."""

    def __init__(self, backbone: Backbone, *, prefix: Prefix, form: Form) -> None:
        self.backbone = backbone
        self.prefix: Prefix = prefix
        self.form: Form = form
        tokenizer = backbone.tokenizer.backend_tokenizer
        assert isinstance(tokenizer, tokenizers.Tokenizer), "load_backbone refuses slow tokenizers"
        self.decisive = {
            "format": FORMAT,
            "tokenizers": tokenizers.__version__,
            "tokenizer": files.sha256_bytes(tokenizer.to_str().encode()),
            "family": backbone.family,
            "end": backbone.end_id,
            "longest": backbone.settings.max_tokens,
            # What is kept was tokenised without any of these.
            "beyond": sorted(backbone.without_embedding),
            "prompt": [prefix, form],
        }

    def rows(self, task: Task, examples: Sequence[Example]) -> tuple[list[Row], Lost]:
        """Return what `encode_rows` returns, from the cache where it is there.

        Raises:
            InputError: as `encode_rows`.
        """
        worth, path = len(examples) >= WORTH, self.place(task, examples)
        if worth and os.path.exists(path):  # no error where one may not look
            try:
                found = files.read_sealed(path, most=MOST)
                pairs = zip(found["prompts"], found["answers"], strict=True)
                rows = [
                    Row(task.name, example.row, tuple(prompt), tuple(answer), example.label)
                    for example, (prompt, answer) in zip(examples, pairs, strict=True)
                ]
                return rows, typed(path, found["lost"], Lost)
            except (KeyError, TypeError, ValueError, OSError):  # an InputError is a ValueError
                with suppress(OSError):
                    files.remove(path)
        rows, lost = encode_rows(self.backbone, task, examples, prefix=self.prefix, form=self.form)
        if worth:
            with suppress(OSError):  # one that cannot be written, as in a read-only home, is none
                files.make_folder(path.parent)
                prompts, answers = [r.prompt_ids for r in rows], [r.answer_ids for r in rows]
                kept = {"prompts": prompts, "answers": answers, "lost": lost.model_dump()}
                files.write_sealed(path, kept)
        return rows, lost

    def place(self, task: Task, examples: Sequence[Example]) -> Path:
        """Return the file of a split's ids."""
        words = [task.name, task.instruction, list(task.options), task.category, task.dataset]
        words += [task.cue, task.show_options]
        decisive = {**self.decisive, "words": words, "examples": plain(tuple(examples))}
        return cache.place("tokens", f"{files.digest(decisive)}.json")
