"""Small data sets in files, made where a test asks for them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from amlora.streams.settings import TaskSettings

Write = Callable[[str, str], Path]
WriteTask = Callable[..., TaskSettings]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a text file under the test's folder."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def write_task(tmp_path: Path, write: Write) -> WriteTask:
    """Write a balanced yes/no task in JSON lines, and return its settings."""

    def write_splits(name: str = "fruit", train: int = 20, dev: int = 4, test: int = 6):
        for split, count in (("train", train), ("dev", dev), ("test", test)):
            if count:
                rows = [
                    json.dumps({"text": f"{split} text {i}", "label": ("yes", "no")[i % 2]})
                    for i in range(count)
                ]
                write(f"{name}/{split}.jsonl", "\n".join(rows) + "\n")
        return TaskSettings(name=name, source=str(tmp_path / name), instruction="Is it?")

    return write_splits
