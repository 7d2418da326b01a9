"""Records as the comparisons read them, without a folder."""

from pathlib import Path
from typing import Any

from pandas import DataFrame

from amlora import files
from amlora.formats import typed
from amlora.records.beside import Measured
from amlora.records.run import StoredRun
from amlora.records.schema import Record
from amlora.report.compare import comparable, told, with_facts

from .conftest import MEASURED, record_of

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
