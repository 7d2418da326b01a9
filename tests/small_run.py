"""A run small enough for a test: two tasks of eight rows on a tiny model, three steps each."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

WORDS = {
    "feel": {"Good": "a good film", "Bad": "a bad film"},
    "topic": {"Sports": "the team won", "Business": "the market fell"},
}
ROWS = 4  # of each label in each split
TELLING = {
    "feel": {"good": "Good", "bad": "Bad"},
    "topic": {"team": "Sports", "market": "Business"},
}
"""Of two more tasks, the label that a word in the text tells."""


def write_tasks(folder: Path, *, rows: int = ROWS) -> None:
    """Write both tasks' train, dev and test rows as JSONL, so many of each label."""
    for task, texts in WORDS.items():
        for split in ("train", "dev", "test"):
            records = [
                {"text": f"{text} {split} {number}", "label": label}
                for number in range(rows)
                for label, text in texts.items()
            ]
            write_rows(folder / task / f"{split}.jsonl", records)


def write_telling_tasks(folder: Path, sizes: Mapping[str, int]) -> Path:
    """Write the tasks of `TELLING`, so many rows of each split; return the folder."""
    for task, words in TELLING.items():
        for split, count in sizes.items():
            pairs = list(words.items()) * (count // 2)
            records = [
                {"text": f"{split} {number // 2} is {word}", "label": label}
                for number, (word, label) in enumerate(pairs)
            ]
            write_rows(folder / task / f"{split}.jsonl", records)
    return folder


def write_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write rows as JSONL, in a folder that may be new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def small_settings(data: Path, model: Path) -> str:
    """Return the settings file's text; call `write_tasks(data)` before it is used."""
    return f"""
seed = 1
[model]
name = {json.dumps(str(model))}
precision = "float32"
device = "cpu"
[method]
name = "am_lora"
lora.rank = 2
lora.alpha = 4
[stream]
data_root = {json.dumps(str(data))}
[[stream.tasks]]
name = "feel"
source = "feel"
instruction = "What is the sentiment?"
[[stream.tasks]]
name = "topic"
source = "topic"
instruction = "What is the topic?"
[train]
steps = 3
batch = 4
[evaluate]
max_new_tokens = 8
"""
