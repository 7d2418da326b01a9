"""Launch the command line on several processes, as a user does, and compare what it leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from amlora.experiment.config import settings_from, to_toml

AMLORA = [sys.executable, "-c", "from amlora.cli.main import main; main()"]
WORDS = {"feel": {"good": "Good", "bad": "Bad"}, "topic": {"team": "Sports", "market": "Business"}}
SIZES = {"train": 16, "dev": 4, "test": 20}
SECONDS = 240  # a launch that takes longer hangs


def launcher(processes: int) -> list[str]:
    """Return accelerate's command for processes on the CPU, on a port that is free."""
    many = ["--multi_gpu", "--main_process_port", "0"] if processes > 1 else ["--cpu"]
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", *many),
        *("--num_processes", str(processes), "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--no_python"),
    ]


def environment() -> dict[str, str]:
    """Return this process's environment with as many threads as it computes with."""
    import torch

    return {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONWARNINGS": ""}


def command(config: Path, runs: Path, processes: int, *words: str) -> list[str]:
    """Return the command that runs a settings file on some processes."""
    return [*launcher(processes), *AMLORA, "run", str(config), "--runs", str(runs), *words]


def launch(
    config: Path, runs: Path, processes: int, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run a settings file on some processes, to the end."""
    return subprocess.run(
        command(config, runs, processes, *words),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def ours(errors: str) -> list[str]:
    """Return the lines that amlora itself ended with; the launcher adds its own account."""
    return [line for line in errors.splitlines() if line.startswith("amlora: ")]


def read(folder: Path, name: str) -> dict[str, Any]:
    """Read one of a run's JSON files."""
    return json.loads((folder / name).read_text())


def bits(folder: Path) -> dict[str, bytes]:
    """Return the deterministic files of a finished run."""
    return {name: (folder / name).read_bytes() for name in ("record.json", "rows.jsonl")}


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


def settings(model: Path, tasks: Path, method: str, **train: object) -> Any:
    """Return a run of the tiny tasks without dropout."""
    chosen: dict[str, object] = {"name": method}
    if method == "am_lora":
        chosen["lora"] = {"dropout": 0.0}
    return settings_from(
        {
            "name": "many",
            "model": {
                "name": str(model),
                "precision": "float32",
                "max_tokens": 96,
                "device": "cpu",
            },
            "method": chosen,
            "stream": {
                "data_root": str(tasks),
                "tasks": [
                    {"name": name, "source": name, "instruction": "What is it?"} for name in WORDS
                ],
            },
            "train": {"steps": 20, "batch": 6, "lr": 1e-2, "checkpoint_every": 5, **train},
            "evaluate": {"attention_rows": 2, "max_new_tokens": 8},
        }
    )


def write(path: Path, made: Any) -> Path:
    """Write settings to a file."""
    path.write_text(to_toml(made))
    return path
