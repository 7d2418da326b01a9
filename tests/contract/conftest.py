"""What every contract test runs over: each registered method on both families, on tiny tasks.

A case is a [method] table. Methods that can train one LoRA in place of all weights have two, and so
has one that learns with and without attention.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings, settings_from
from amlora.methods import METHODS, method_class
from amlora.methods.seq_ft import TrainableSettings
from small_run import TELLING, write_telling_tasks

SIZES = {"train": 16, "dev": 4, "test": 8}

SMALLER: dict[str, dict[str, Any]] = {
    # Few and short examples of its own, kept unchecked: the tiny models answer few of them rightly.
    "lfpt5": {
        "length": 10,
        "pseudo": {"per_label": 1, "max_text_tokens": 16, "attempts": 1, "self_check": False},
    }
}
"""Settings that save time here, by method."""
CASES: dict[str, dict[str, Any]] = {
    name: {"name": name, **SMALLER.get(name, {})} for name in METHODS
} | {
    f"{name}+lora": {"name": name, "trainable": "lora"}
    for name in METHODS
    if issubclass(method_class(name).Settings, TrainableSettings)
}
CASES["anchored_lora+attention"] = {"name": "anchored_lora", "combine": "attention"}
USUAL = (1e-2, 30)
LEARNING: dict[str, tuple[float, int]] = {
    "l2p": (1e-1, 170),
    "lfpt5": (1e-1, 60),
    "migu+lora": (1e-2, 60),  # a part of it at each step
    "mtl+lora": (1e-2, 90),  # two tasks at once
    "prog_prompt": (2e-1, 130),
}
"""The learning rate and steps with which a case learns a tiny task by heart, where not `USUAL`."""


@pytest.fixture(scope="session")
def task_files(tmp_path_factory) -> Path:
    """Two tasks whose label is told by one word."""
    return write_telling_tasks(tmp_path_factory.mktemp("tasks"), SIZES)


@pytest.fixture(scope="session", params=sorted(CASES))
def case(request) -> str:
    """Each method in turn, and each of its forms."""
    return request.param


@pytest.fixture(scope="session")
def settings(any_folder, task_files, case) -> RunSettings:
    """A run of two tiny tasks, a few steps each."""
    return tiny_settings(any_folder, task_files, case)


@pytest.fixture(scope="session")
def whole(settings, tmp_path_factory) -> Path:
    """The folder of that run, undisturbed; read it only."""
    return run(settings, runs=tmp_path_factory.mktemp("whole"))


def tiny_settings(
    model: Path, tasks: Path, case: str, *, names: Sequence[str] = tuple(TELLING)
) -> RunSettings:
    """Make settings for the tiny tasks, which may be called something else than their folders."""
    lr, _ = LEARNING.get(case, USUAL)
    return settings_from(
        {
            "name": "tiny",
            "model": {"name": str(model), "precision": "float32", "max_tokens": 96},
            "method": CASES[case],
            "stream": {
                "data_root": str(tasks),
                "tasks": [
                    {"name": name, "source": source, "instruction": "What is it?"}
                    for name, source in zip(names, TELLING, strict=True)
                ],
            },
            "train": {"steps": 4, "batch": 4, "lr": lr, "checkpoint_every": 2},
            "evaluate": {"attention_rows": 2, "max_new_tokens": 8},
        }
    )


@pytest.fixture
def accelerator():
    """One process on the CPU."""
    from accelerate import Accelerator

    return Accelerator(cpu=True)
