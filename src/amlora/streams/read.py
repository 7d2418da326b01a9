"""Readers of JSON lines, JSON and CSV that can name the line of every row, and of Parquet.

Texts are UTF-8, with or without a byte order mark; values are kept as they are written. How CSV is
laid out: `dialect.py`. A file may be packed by gzip; its name then ends in ".gz" as well. Class
labels of Parquet files (numbers that `datasets` names in the file) become their names.
"""

import gzip
import importlib
import io
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from amlora import files
from amlora.errors import InputError
from amlora.formats import parse_json, reason, too_deep
from amlora.streams.dialect import COMMA, TAB, table
from amlora.streams.rows import RawRow, shown

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
PACKED = ".gz"
MOST_UNPACKED = 1 << 31  # bytes; a small file may unpack to a thousand times its size
MARK = b"\xef\xbb\xbf"  # the byte order mark of UTF-8
SPACE = re.compile(r"[ \t\r\n]*")


def kind_of(path: Path) -> str:
    """Return the suffix that says what a file holds, "" for none; letter case and .gz aside."""
    return Path(path.name.lower().removesuffix(PACKED)).suffix


def read_rows(path: Path) -> list[RawRow]:
    """Read a file by its suffix; an InputError names the file, and the line of a broken row."""
    kind = kind_of(path)
    if kind not in SUFFIXES:
        raise InputError(
            f"{path}: files of tasks end in one of {', '.join(SUFFIXES)}, or one of these and .gz."
        )
    return parse_rows(read_data(path), kind, str(path))


def parse_rows(data: bytes, kind: str, place: str) -> list[RawRow]:
    """Return the rows of a file's bytes; `kind` is one of SUFFIXES."""
    if kind == ".parquet":
        return read_parquet(data, place)
    text = to_text(data, place)
    if kind == ".jsonl":
        return parse_lines(text, place)
    if kind == ".json":
        return parse_list(text, place)
    lines = table(text, place, TAB if kind == ".tsv" else COMMA)
    return [RawRow(f"{place}: line {line}", dict(values)) for line, values in lines]


def read_data(path: Path) -> bytes:
    """Read a file, unpacked.

    An InputError if it is not there or cannot be read, is not regular (a link to a regular one is),
    or is packed and not whole.
    """
    try:
        data = files.read_present(path, follow=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None
    if not path.name.lower().endswith(PACKED):
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            unpacked = packed.read(MOST_UNPACKED + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file: {error}.") from None
    if len(unpacked) > MOST_UNPACKED:
        raise InputError(f"{path}: unpacks to more than {MOST_UNPACKED >> 30} GiB.")
    return unpacked


def to_text(data: bytes, place: str) -> str:
    """Return the text of UTF-8 bytes, line ends unchanged, without a byte order mark."""
    try:
        return data.removeprefix(MARK).decode()
    except UnicodeDecodeError as error:
        start = error.start + (len(MARK) if data.startswith(MARK) else 0)
        line = data.count(b"\n", 0, start) + 1
        raise InputError(
            f"{place}: line {line}: not UTF-8: byte 0x{data[start]:02x}; save the file as UTF-8."
        ) from None


def parse_lines(text: str, place: str) -> list[RawRow]:
    """Read one object a line; blank lines are passed over."""
    return [
        parse_row(line, f"{place}: line {number}")
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]


def parse_list(text: str, place: str) -> list[RawRow]:
    """Read a list of objects, one after the other, so that each one's line is known.

    Some write JSON lines into files that end in .json: a file whose first line is a whole object is
    read as such.
    """

    def wrong(at: int, why: str) -> InputError:
        return InputError(f"{place}: line {text.count(chr(10), 0, at) + 1}: {why}.")

    at = skip_space(text, 0)
    if text.startswith("{", at) and is_object(text[at:].partition("\n")[0]):
        return parse_lines(text, place)
    if not text.startswith("[", at):
        raise wrong(at, "must be a list of objects, [...], or one object a line")
    at = skip_space(text, at + 1)
    rows: list[RawRow] = []
    line, counted = 1, 0
    while not text.startswith("]", at):
        line, counted = line + text.count("\n", counted, at), at
        where = f"{place}: line {line}, item {len(rows) + 1}"
        end = end_of(text, at, place, where)
        rows.append(parse_row(text[at:end], where))
        at = skip_space(text, end)
        if comma := text.startswith(",", at):
            at = skip_space(text, at + 1)
        if comma == text.startswith("]", at):
            raise wrong(at, "not JSON: " + ("',' before ']'" if comma else "',' or ']' is missing"))
    if (end := skip_space(text, at + 1)) != len(text):
        raise wrong(end, "not JSON: more after the list's end")
    return rows


def skip_space(text: str, at: int) -> int:
    """Return the offset of the next character that is not JSON white space."""
    found = SPACE.match(text, at)
    return found.end() if found else at


def end_of(text: str, at: int, place: str, where: str) -> int:
    """Return where a JSON value of a longer text ends.

    An InputError names no JSON by its line, and what the parser gives up on by `where`.
    """
    try:
        return json.JSONDecoder().raw_decode(text, at)[1]
    except json.JSONDecodeError as error:
        why = f"{error.msg} at column {error.colno}"
        raise InputError(f"{place}: line {error.lineno}: not JSON: {why}.") from None
    except RecursionError:
        raise too_deep(where) from None
    except ValueError as error:
        raise InputError(f"{where}: {reason(error)}.") from None


def is_object(line: str) -> bool:
    """Tell whether a line is a whole JSON object, or one that the parser gives up on."""
    try:
        return isinstance(json.loads(line), dict)
    except json.JSONDecodeError:
        return False
    except (RecursionError, ValueError):
        return True


def parse_row(text: str, place: str) -> RawRow:
    """Read one object; refuse anything else."""
    value = parse_json(place, text)
    if not isinstance(value, dict):
        raise InputError(f"{place}: must be an object {{...}}, got {shown(value)}.")
    return RawRow(place, cast("dict[str, Any]", value))


def read_parquet(data: bytes, place: str) -> list[RawRow]:
    """Return the rows of a Parquet file's bytes: no cache stands between a file and its rows."""
    arrow = importlib.import_module("pyarrow")  # which is slow
    parquet = importlib.import_module("pyarrow.parquet")
    try:
        read = parquet.read_table(arrow.BufferReader(data))
        rows: list[dict[str, Any]] = read.to_pylist()
        names = class_names(read.schema.metadata or {})
    except (arrow.ArrowException, OSError, ValueError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{place}: not a whole Parquet file: {lines[0].rstrip('.')}.") from None
    return [
        RawRow(f"{place}: row {number}", by_name(values, names))
        for number, values in enumerate(rows)
    ]


def class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Return the names of class labels by column, as `datasets` notes them in a file's metadata.

    Somebody else's note of that name is left alone.
    """
    try:
        note = json.loads(metadata.get(b"huggingface", b"{}"))
    except (ValueError, RecursionError):
        return {}
    found: dict[str, list[str]] = {}
    match note:
        case {"info": {"features": {**features}}}:
            for column, feature in features.items():
                match feature:
                    case {"_type": "ClassLabel", "names": [*names]}:
                        found[column] = [str(name) for name in names]
                    case _:
                        pass
        case _:
            pass
    return found


def by_name(values: dict[str, Any], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """Exchange numbers of classes for their names; -1 is the hub's mark for "no label"."""
    for column, labels in names.items():
        number = values.get(column)
        if isinstance(number, int) and number < len(labels):
            values[column] = labels[number] if number >= 0 else None
    return values
