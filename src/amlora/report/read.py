"""Say what tokenising lost of a record's texts, and tell runs apart by a label."""

from collections.abc import Sequence

from amlora.errors import InputError
from amlora.evaluate.lost import lost_lines
from amlora.records.run import StoredRun as Run
from amlora.records.schema import Record


def lost_texts(record: Record) -> list[str]:
    """Say what tokenising lost of each task's texts; nothing where nothing is, or none counted."""
    model = record.settings.get("model")
    longest = model.get("max_tokens", 0) if isinstance(model, dict) else 0
    lines: list[str] = []
    for task in record.tasks:
        rows = {"train": task.train, "dev": task.dev, "test": task.test}
        counts = {name: (lost, rows[name]) for name, lost in task.lost.items() if name in rows}
        lines += lost_lines(task.name, counts, longest)
    return lines


def labels(runs: Sequence[Run]) -> list[str]:
    """One distinct label per run: its name, method, seed and folder, as far as needed."""
    ways = (
        lambda run: run.record.name,
        lambda run: run.record.method,
        lambda run: f"{run.record.name}, {run.record.method}",
        lambda run: f"{run.record.method}, seed {run.record.seed}",
        lambda run: f"{run.record.name}, seed {run.record.seed}",
        lambda run: f"{run.record.name}, seed {run.record.seed} ({run.path.name})",
        lambda run: f"{run.record.name}, seed {run.record.seed} ({run.path})",
    )
    for way in ways:
        if len(set(found := [way(run) for run in runs])) == len(runs):
            return found
    raise InputError("the same run folder is given twice.")
