"""Which runs are alike: the one place that says what shares a line, a table, and a paper's line.

A line is one method with one set of settings over its seeds. Lines of equal streams (tasks, rows,
order) and equal base models may stand side by side, and no others.
"""

from collections.abc import Collection, Mapping
from typing import Any

from amlora import files
from amlora.records.schema import Record

SCORING = {"evaluate": ("scope",)}  # which moments were scored besides the last
OF_ORDER = {  # what also belongs to an order of the paper, or to a machine
    **SCORING,
    "model": ("name",),
    "stream": ("name", "order", "shuffle_seed", "data_root", "tasks", "first_tasks"),
    "train": ("lr",),
}


def line_of(record: Record) -> str:
    """Return what the runs of one line share: all but the seed and what was scored besides."""
    alike = [record.method, str(record.method_version), without(record, ("seed",), SCORING)]
    return files.digest([*table_of(record), alike])[:16]


def table_of(record: Record) -> tuple[str, str]:
    """Return what lines must share to be compared: the stream's digest and the model's weights."""
    return record.stream_digest, record.model.fingerprint or ""


def across_orders(record: Record, varying: Collection[str] = ()) -> dict[str, Any]:
    """Return the settings that the runs of one line share from order to order of the paper.

    The data, a method's settings per task and the learning rate belong to the order.

    Args:
        record: of a run.
        varying: settings of the method that may differ as well.
    """
    settings = without(record, ("name", "seed"), OF_ORDER)
    if isinstance(method := settings.get("method"), Mapping):
        tasks = len(record.tasks)
        settings["method"] = {
            name: "per task" if isinstance(value, list) and len(value) == tasks else value
            for name, value in method.items()
            if name not in varying
        }
    return settings


def without(
    record: Record, names: tuple[str, ...], places: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """Return a record's settings but for some names, and some in its tables."""
    return {
        key: {name: kept for name, kept in value.items() if name not in places.get(key, ())}
        if isinstance(value, Mapping)
        else value
        for key, value in record.settings.items()
        if key not in names
    }
