"""Records of finished runs as plain values: of runs that were done, and made up."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amlora import files
from amlora.evaluate.metrics import summary
from amlora.records.run import read_folder
from amlora.records.schema import Record


def read_record(folder: Path) -> dict[str, Any]:
    """Read a run's record after checking all that it speaks of."""
    return read_folder(folder).record.model_dump(mode="json")


def write_record(
    folder: Path,
    settings: Mapping[str, Any],
    rows: Mapping[str, int],
    R: Sequence[Sequence[float | None]],
    *,
    method: str,
    lines: str = "",
    attention: Mapping[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Write the folder of a made-up run with right digests; return it.

    `rows` says how many test rows each task has, `lines` and `attention` are the files beside the
    record, `more` are other keys of it. R has two rows for joint learning.
    """
    folder.mkdir(parents=True)
    (folder / "rows.jsonl").write_text(lines)
    if attention is not None:
        files.write_json(folder / "attention.json", attention)
        more["attention_digest"] = files.sha256_file(folder / "attention.json")
    counts = {"steps": 1, "rows": 4, "tokens": 9, "trainable_parameters": 8, "stored_parameters": 8}
    record = {
        **{"name": settings["name"], "seed": settings["seed"], "settings": settings},
        **{"format": 1, "method": method, "method_version": 1, "R": R},
        **{"model": {"name": "small", "fingerprint": "f0" * 32}},
        "settings_digest": files.digest(settings),
        "tasks": [{"name": task, "test": count, "scored": count} for task, count in rows.items()],
        "stages": [{"task": task, **counts} for task in (["all tasks"] if len(R) == 2 else rows)],
        "metrics": summary(R, [*rows.values()]),
        "rows_digest": files.sha256_file(folder / "rows.jsonl"),
    }
    files.write_sealed(folder / "record.json", record | more)
    return folder


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
