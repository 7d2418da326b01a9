"""What every contract test runs over: each registered method on both families, on tiny tasks."""

import json
from pathlib import Path

import pytest

from amlora.experiment.config import RunSettings, settings_from
from amlora.experiment.run import run
from amlora.methods import METHODS

WORDS = {"feel": {"good": "Good", "bad": "Bad"}, "topic": {"team": "Sports", "market": "Business"}}
SIZES = {"train": 16, "dev": 4, "test": 8}


@pytest.fixture(scope="session")
def task_files(tmp_path_factory) -> Path:
    """Two tasks whose label is told by one word."""
    root = tmp_path_factory.mktemp("tasks")
    for task, words in WORDS.items():
        (root / task).mkdir()
        for split, count in SIZES.items():
            rows = []
            for i in range(count):
                word, label = list(words.items())[i % 2]
                rows.append({"text": f"{split} {i // 2} is {word}", "label": label})
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (root / task / f"{split}.jsonl").write_text(lines)
    return root


@pytest.fixture(scope="session", params=sorted(METHODS))
def method_name(request) -> str:
    """Each method in turn."""
    return request.param


@pytest.fixture(scope="session")
def settings(any_folder, task_files, method_name) -> RunSettings:
    """A run of two tiny tasks, a few steps each."""
    return tiny_settings(any_folder, task_files, method_name)


@pytest.fixture(scope="session")
def whole(settings, tmp_path_factory) -> Path:
    """The folder of that run, undisturbed; read it only."""
    return run(settings, runs=tmp_path_factory.mktemp("whole"))


def tiny_settings(
    model: Path, tasks: Path, method: str, *, steps: int = 4, **train: object
) -> RunSettings:
    """Make settings for the tiny tasks."""
    return settings_from(
        {
            "name": "tiny",
            "model": {"name": str(model), "precision": "float32", "max_tokens": 96},
            "method": {"name": method},
            "stream": {
                "data_root": str(tasks),
                "tasks": [
                    {"name": name, "source": name, "instruction": "What is it?"} for name in WORDS
                ],
            },
            "train": {"steps": steps, "batch": 4, "lr": 1e-2, "checkpoint_every": 2, **train},
            "evaluate": {"attention_rows": 2, "max_new_tokens": 8},
        }
    )


@pytest.fixture
def accelerator():
    """One process on the CPU."""
    from accelerate import Accelerator

    return Accelerator(cpu=True)
