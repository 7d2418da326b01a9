"""A run small enough for a test: two tasks of eight rows on a tiny model, three steps each."""

import json
from pathlib import Path

WORDS = {
    "feel": {"Good": "a good film", "Bad": "a bad film"},
    "topic": {"Sports": "the team won", "Business": "the market fell"},
}
ROWS = 4  # of each label in each split


def write_tasks(folder: Path, *, rows: int = ROWS) -> None:
    """Write both tasks' train, dev and test rows as JSONL, so many of each label."""
    for task, texts in WORDS.items():
        (folder / task).mkdir(parents=True)
        for split in ("train", "dev", "test"):
            records = [
                {"text": f"{text} {split} {number}", "label": label}
                for number in range(rows)
                for label, text in texts.items()
            ]
            lines = "".join(json.dumps(row) + "\n" for row in records)
            (folder / task / f"{split}.jsonl").write_text(lines)


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
