"""Rows of Parquet files, read from their bytes: no cache stands between a file and its rows.

The library, pyarrow, comes with the extra `data` and is slow to import, so it is imported where it
is used. Class labels (numbers that `datasets` names in the file) become their names.
"""

import importlib
from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any, Literal

import msgspec

from amlora.errors import InputError
from amlora.streams.rows import Record


class ClassLabel(msgspec.Struct, frozen=True):
    """A column of numbers that have names."""

    names: list[str | int | bool]
    kind: Literal["ClassLabel"] = msgspec.field(name="_type")


class Info(msgspec.Struct, frozen=True):
    """What is known of the columns."""

    features: dict[str, Any] = {}


class Noted(msgspec.Struct, frozen=True):
    """What `datasets` notes in a file."""

    info: Info = Info()


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
        names = class_names(read.schema.metadata or {})
    except (arrow.ArrowException, OSError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{place}: not a whole Parquet file: {lines[0].rstrip('.')}.") from None
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
    found: dict[str, list[str]] = {}
    with suppress(msgspec.MsgspecError, RecursionError):  # somebody else's note of that name
        noted = msgspec.json.decode(metadata.get(b"huggingface", b"{}"), type=Noted)
        for column, feature in noted.info.features.items():
            with suppress(msgspec.ValidationError):
                found[column] = list(map(str, msgspec.convert(feature, ClassLabel).names))
    return found


def by_name(values: dict[str, Any], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """Exchange numbers of classes for their names; -1 is the hub's mark for "no label"."""
    for column, labels in names.items():
        number = values.get(column)
        if isinstance(number, int) and number < len(labels):
            values[column] = labels[number] if number >= 0 else None
    return values
