"""Launch the command line on several processes, as a user does, and read what it leaves."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from amlora.experiment.settings import RunSettings, settings_from, to_toml
from small_run import TELLING, write_telling_tasks

AMLORA = (sys.executable, "-m", "amlora")
SIZES = {"train": 16, "dev": 4, "test": 20}
RATES = {("llama", "am_lora"): 1e-2, ("llama", "seq_ft"): 1e-3}
RATES |= {("t5", "am_lora"): 6e-3, ("t5", "seq_ft"): 5e-4}
RATES |= {("llama", "migu"): 1e-3, ("t5", "migu"): 5e-4}
SECONDS = 240  # after which a launch counts as hanging


def launcher(processes: int) -> list[str]:
    """Return accelerate's command for processes on the CPU, on a port that is free."""
    return [
        *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"),
        *("--num_processes", str(processes), "--num_machines", "1", "--main_process_port", "0"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--no_python"),
    ]


@contextmanager
def started(command: Sequence[str], **more: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command with more environment variables; it is ended if the test fails."""
    with subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def launched(processes: int, *words: object) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start `amlora` on some processes by accelerate."""
    return started([*launcher(processes), *AMLORA, *map(str, words)])


def launch(processes: int, *words: object) -> tuple[int, str, str]:
    """Run `amlora` on some processes by accelerate; return status, output and errors."""
    with launched(processes, *words) as process:
        out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


@contextmanager
def by_hand(*commands: Sequence[object]) -> Iterator[list[subprocess.Popen[str]]]:
    """Start one process per list of words, as a batch system does: nobody ends the others."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(len(commands))}
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                started([*AMLORA, *map(str, words)], **where, RANK=str(i), LOCAL_RANK=str(i))
            )
            for i, words in enumerate(commands)
        ]


def ended(processes: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Wait for all; return each one's status, output and errors."""
    texts = [process.communicate(timeout=SECONDS) for process in processes]
    return [(process.returncode, *text) for process, text in zip(processes, texts, strict=True)]


def ours(errors: str) -> list[str]:
    """Return the lines that amlora ended with; the launcher adds an account of its own."""
    return [line for line in errors.splitlines() if line.startswith("amlora: ")]


def read(folder: Path, name: str) -> dict[str, Any]:
    """Read one of a run's JSON files."""
    return json.loads((folder / name).read_text())


def losses(record: dict[str, Any]) -> list[float]:
    """Return the mean losses of the tenths of all stages."""
    return [loss for stage in record["stages"] for loss in stage["losses"]]


@pytest.fixture(scope="session")
def task_files(tmp_path_factory) -> Path:
    """Two tasks whose label is told by one word."""
    return write_telling_tasks(tmp_path_factory.mktemp("tasks"), SIZES)


def make_settings(model: Path, tasks: Path, method: str, **train: object) -> RunSettings:
    """Return a run of the tiny tasks without dropout, at a rate that learns them in part."""
    family = "llama" if model.name.startswith("llama") else "t5"
    lora = {"lora": {"dropout": 0.0}} if method == "am_lora" else {}
    rate = RATES[family, method]
    named = [{"name": name, "source": name, "instruction": "What is it?"} for name in TELLING]
    return settings_from(
        {
            "name": "many",
            "model": {
                **{"name": str(model), "precision": "float32"},
                **{"max_tokens": 96, "device": "cpu"},
            },
            "method": {"name": method, **lora},
            "stream": {"data_root": str(tasks), "tasks": named},
            "train": {"steps": 20, "batch": 6, "lr": rate, "checkpoint_every": 5, **train},
            "evaluate": {"attention_rows": 2, "max_new_tokens": 8},
        }
    )


def write(path: Path, settings: RunSettings) -> Path:
    """Write settings to a file."""
    path.write_text(to_toml(settings))
    return path
