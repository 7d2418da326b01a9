"""Run folders as a finished run leaves them, with made-up but plausible numbers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pandas import DataFrame

from amlora import files
from amlora.evaluate.metrics import summary
from amlora.formats import typed
from amlora.records.beside import Measured
from amlora.records.run import StoredRun
from amlora.records.schema import Record
from amlora.report.compare import comparable, told, with_facts
from figure_records import attention

TASKS = ("sms", "topic", "film", "kind")
AM_LORA = [
    [0.50, 0.20, 0.35, 0.10],
    [0.95, 0.22, 0.30, 0.12],
    [0.93, 0.88, 0.34, 0.20],
    [0.90, 0.85, 0.72, 0.25],
    [0.88, 0.83, 0.70, 0.65],
]
SIN_LORA = [
    [0.50, 0.20, 0.35, 0.10],
    [0.95, 0.20, 0.20, 0.10],
    [0.60, 0.90, 0.25, 0.15],
    [0.45, 0.55, 0.75, 0.20],
    [0.40, 0.35, 0.50, 0.70],
]
JOINT = [[0.50, 0.20, 0.35, 0.10], [0.96, 0.90, 0.77, 0.72]]
ENTERED = [  # from the second task on; only earlier tasks are scored
    [0.92, None, None, None],
    [0.93, 0.80, None, None],
    [0.90, 0.86, 0.66, None],
]

MakeRun = Callable[..., Path]


def record_of(
    name: str,
    R: Sequence[Sequence[float | None]],
    *,
    seed: int = 0,
    tasks: Sequence[str] = TASKS,
    entered: Sequence[Sequence[float | None]] = (),
) -> dict[str, Any]:
    """A record.json; joint when R has two rows."""
    joint = len(R) == 2
    stages = ["all tasks"] if joint else list(tasks[: len(R) - 1])
    return {
        "format": 1,
        "name": name,
        "seed": seed,
        "method": name,
        "method_version": 1,
        "settings": {"seed": seed, "stream": {"form": "full", "prefix": "off"}},
        "settings_digest": "5e" * 32,
        "stream_digest": "a7" * 32,
        "model": {
            "name": "small",
            "family": "decoder-only",
            "type": "llama",
            "revision": None,
            "fingerprint": "f0" * 32,
            "parameters": 134_515_008,
        },
        "tasks": [
            {
                "name": task,
                "category": "",
                "options": ["yes", "no"],
                "majority": 0.5,
                "digest": "d1" * 32,
                "train": 160,
                "dev": 40,
                "test": 60,
                "scored": 60,
            }
            for task in tasks
        ],
        "R": R,
        "entered": entered,
        "stages": [
            {
                "task": task,
                "steps": 20,
                "rows": 160,
                "tokens": 21_000,
                "trainable_parameters": 460_800 + 34_560 * index,
                "stored_parameters": 460_800 * (index + 1),
                "losses": [2.1, 1.2, 0.8, 0.6, 0.5, 0.45, 0.4, 0.38, 0.37, 0.36],
            }
            for index, task in enumerate(stages)
        ],
        "metrics": summary(R, [60] * len(tasks)),
        "evaluation": [
            {"after": k - 1, "phase": "learned" if k else "before",
             "hit": 150, "miss": 86, "undecided": 4, "low_margin": 0}
            for k in range(len(R))
        ] + [
            {"after": k + 1, "phase": "entered", "hit": 50, "miss": 10,
             "undecided": 0, "low_margin": 1}
            for k in range(len(entered))
        ],
        "rows_digest": "b2" * 32,
        "attention_digest": None,
    }  # fmt: skip


def general_of(
    loss: float, right: int, rejected: float | None = None, *, after: int = 3
) -> list[dict[str, Any]]:
    """What a record says of texts and questions of no task, given how the model did at the end."""
    sizes = {"tokens": 1234, "passages": 40, "questions": 24}
    last = {"after": after, "loss": loss, "right": right, "begun": right + 2, **sizes}
    return [
        {"after": -1, "loss": 3.25, "right": 1, "begun": 12, **sizes},
        last if rejected is None else {**last, "rejected": rejected},
    ]


def attention_of(tasks: Sequence[str] = TASKS, layers: int = 6) -> dict[str, Any]:
    """An attention.json without the rate of right picks."""
    modules = [f"model.layers.{layer}.self_attn.{p}_proj" for layer in range(layers) for p in "qv"]
    return attention(tasks, modules=modules, picked=None)


MEASURED = {
    "seconds": {"load": 2.5, "begin": 0.1, "train": 310.0, "evaluate": 95.5, "total": 409.0},
    "tokens": {"train": 84_000},
    "tokens_per_second": 271.0,
    "peak_memory_bytes": 1_900_000_000,
    "versions": {"amlora": "0.1.0", "torch": "2.8.0"},
    "git": {"commit": "0123456789abcdef", "dirty": True},
    "device": {
        "platform": "Linux x86_64",
        "cpu": "Example 9000",
        "threads": 2,
        "memory_bytes": 8 * 2**30,
        "accelerators": [{"name": "Card", "memory_bytes": 2**34}] * 2,
    },
    "finished": "2026-01-02T03:04:05Z",
    "evaluation": [],
}


@pytest.fixture(scope="module")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Return a function that writes a run folder and returns its path."""

    def make(
        record: dict[str, Any],
        *,
        attention: dict[str, Any] | None = None,
        measured: dict[str, Any] | None = MEASURED,
        config: str = 'name = "example"\n',
    ) -> Path:
        folder = tmp_path_factory.mktemp("run")
        (folder / "rows.jsonl").write_text("")
        vouched = {
            "settings_digest": files.digest(record["settings"]),
            "rows_digest": files.sha256_file(folder / "rows.jsonl"),
        }
        record = {**record, **vouched}
        if attention is not None:
            (folder / "attention.json").write_text(json.dumps(attention))
            digest = files.sha256_file(folder / "attention.json")
            record = {**record, "attention_digest": digest}
        files.write_sealed(folder / "record.json", record)
        if measured is not None:
            (folder / "measured.json").write_text(json.dumps(measured))
        (folder / "config.toml").write_text(config)
        return folder

    return make


@pytest.fixture(scope="module")
def two_runs(make_run: MakeRun) -> list[Path]:
    """An attentional mixture with its attention, and a single LoRA without; read them only."""
    mixture = record_of("am_lora", AM_LORA, entered=ENTERED)
    return [make_run(mixture, attention=attention_of()), make_run(record_of("sin_lora", SIN_LORA))]


FACTS = {
    "am_lora": {"needs_task_id": False, "stores_examples": False},
    "replay": {"needs_task_id": False, "stores_examples": True},
    "own": {"needs_task_id": True, "stores_examples": False},
    "prog_prompt": {"needs_task_id": True, "stores_examples": False},
}


def stored(record: dict[str, Any]) -> StoredRun:
    """Return a record as it is read; its folder is named after what is in it."""
    made = {**record, "settings_digest": files.digest(record["settings"])}
    path = Path("runs") / f"{record['name']}-{files.digest(made)[:6]}-{record['seed']}"
    return StoredRun(
        path=path,
        record=typed(path, made, Record),
        measured=typed(path, MEASURED, Measured),
        attention=None,
        texts={},
        load_rows=lambda: b"",
    )


def runs_of(*records: dict[str, Any]) -> DataFrame:
    """Return the frame of some records."""
    return with_facts(told([stored(record) for record in records]), FACTS)


def group_of(*records: dict[str, Any]) -> DataFrame:
    """Return the runs of the only stream and base model of some records."""
    (group,) = comparable(runs_of(*records))
    return group


def record(
    name: str, R: Any, *, method: str = "", seed: int = 0, lr: float = 1e-3, examples: int = 0
) -> dict[str, Any]:
    """Return a record with what the comparisons read on top."""
    made = record_of(name, R, seed=seed)
    made["method"] = method or name
    made["settings"] = {"name": name, "seed": seed, "train": {"lr": lr}}
    for index, stage in enumerate(made["stages"]):
        stage["stored_examples"] = examples * (index + 1)
    return made
