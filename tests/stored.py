"""A finished run's record as plain values."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amlora.records.run import read_folder
from amlora.records.schema import Record


def read_record(folder: Path) -> dict[str, Any]:
    """Read a run's record after checking all that it speaks of."""
    return read_folder(folder).record.model_dump(mode="json")


def a_record(
    tasks: Sequence[str], R: Sequence[Sequence[float | None]], *, stages: Sequence[str] = ()
) -> Record:
    """Return a small record: four scored rows a task, and stages of the tasks by default."""
    counts = {"steps": 1, "rows": 4, "tokens": 9, "trainable_parameters": 8}
    return Record.model_validate(
        {
            **{"name": "own", "seed": 0, "method": "own", "method_version": 1, "settings": {}},
            **{"settings_digest": "", "stream_digest": "", "model": {"name": "small"}},
            "tasks": [{"name": task, "test": 4, "scored": 4} for task in tasks],
            "R": R,
            "stages": [
                {"task": task, "stored_parameters": 8, **counts}
                for task in stages or tasks[: len(R) - 1]
            ],
            **{"metrics": {}, "rows_digest": None},
        }
    )
