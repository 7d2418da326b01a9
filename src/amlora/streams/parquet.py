"""Rows of Parquet files, read from their bytes: no cache stands between a file and its rows.

The library, pyarrow, comes with the extra `data` and is slow to import, so it is imported where it
is used. Class labels (numbers that `datasets` names in the file) become their names.
"""

import importlib
import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any, cast

from amlora.errors import InputError
from amlora.streams.rows import Record


def read_parquet(data: bytes, place: str) -> list[Record]:
    """Return the rows of a Parquet file.

    Args:
        data: the whole file.
        place: the file, for errors.

    Raises:
        InputError: not Parquet, or pyarrow is not installed.
    """
    arrow, parquet = import_arrow(place)
    try:
        read = parquet.read_table(arrow.BufferReader(data))
        rows: list[dict[str, Any]] = read.to_pylist()
    except (arrow.ArrowException, OSError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{place}: not a whole Parquet file: {lines[0].rstrip('.')}.") from None
    names = class_names(read.schema.metadata or {})
    return [
        Record(f"{place}: row {number}", by_name(values, names))
        for number, values in enumerate(rows)
    ]


def import_arrow(place: str) -> tuple[ModuleType, ModuleType]:
    """Import pyarrow and its reader.

    Raises:
        InputError: it is not installed; names the extra.
    """
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise InputError(
            f"{place}: needs the library pyarrow: pip install 'amlora[data]'."
        ) from None


def class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Return the names of class labels by column, as `datasets` notes them in a file's metadata."""
    try:
        columns: Any = json.loads(metadata.get(b"huggingface", b"{}"))
        for key in ("info", "features"):
            columns = columns.get(key, {})
        return {
            column: list(map(str, feature["names"]))
            for column, feature in cast("dict[str, Any]", columns).items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return {}  # somebody else's note of that name


def by_name(values: dict[str, Any], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """Exchange numbers of classes for their names; -1 is the hub's mark for "no label"."""
    for column, labels in names.items():
        number = values.get(column)
        if isinstance(number, int) and number < len(labels):
            values[column] = labels[number] if number >= 0 else None
    return values
