"""Readers of JSON lines, JSON and CSV that can name the line of every row, and of Parquet.

Texts are UTF-8, with or without a byte order mark. How CSV is laid out: `dialect.py`. A file may be
packed by gzip; its name then ends in ".gz" as well.
"""

import gzip
import io
import json
import zlib
from pathlib import Path
from typing import Any, cast

from amlora import files
from amlora.errors import InputError
from amlora.formats import parse_json, reason, too_deep
from amlora.streams.dialect import COMMA, TAB, table
from amlora.streams.parquet import read_parquet
from amlora.streams.rows import Record, shown

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
PACKED = ".gz"
MOST_UNPACKED = 1 << 31  # bytes; a small file may unpack to a thousand times its size
MARK = b"\xef\xbb\xbf"  # the byte order mark of UTF-8


def kind_of(path: Path) -> str:
    """Return the suffix that says what a file holds, "" for none; letter case and .gz aside."""
    return Path(path.name.lower().removesuffix(PACKED)).suffix


def read_records(path: Path) -> list[Record]:
    """Read a file by its suffix.

    Raises:
        InputError: no such file, a suffix not in SUFFIXES, or a broken row (with file and line).
    """
    kind = kind_of(path)
    if kind not in SUFFIXES:
        raise InputError(
            f"{path}: files of tasks end in one of {', '.join(SUFFIXES)}, or one of these and .gz."
        )
    return parse_records(read_data(path), kind, str(path))


def parse_records(data: bytes, kind: str, place: str) -> list[Record]:
    """Return the rows of a file's bytes; `kind` is one of SUFFIXES."""
    if kind == ".parquet":
        return read_parquet(data, place)
    text = to_text(data, place)
    if kind == ".jsonl":
        return parse_lines(text, place)
    if kind == ".json":
        return parse_list(text, place)
    return parse_table(text, place, TAB if kind == ".tsv" else COMMA)


def read_data(path: Path) -> bytes:
    """Read a file, unpacked.

    Raises:
        InputError: no such file, none that is regular (a link to one is), one that cannot be read,
            or a packed one that is not whole.
    """
    try:
        data = files.read_bytes(path, follow=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
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
    """Return the text of UTF-8 bytes, line ends unchanged, without a byte order mark.

    Raises:
        InputError: bytes that are not UTF-8, with their line.
    """
    try:
        return data.removeprefix(MARK).decode()
    except UnicodeDecodeError as error:
        start = error.start + (len(MARK) if data.startswith(MARK) else 0)
        line = data.count(b"\n", 0, start) + 1
        raise InputError(
            f"{place}: line {line}: not UTF-8: byte 0x{data[start]:02x}; save the file as UTF-8."
        ) from None


def parse_lines(text: str, place: str) -> list[Record]:
    """Read one object a line; blank lines are passed over."""
    records: list[Record] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{place}: line {number}"
            records.append(to_record(parse_json(where, line), where))
    return records


def parse_list(text: str, place: str) -> list[Record]:
    """Read a list of objects, one after the other, so that each one's line is known.

    Some write JSON lines into files that end in .json: a file whose first line is a whole object is
    read as such.
    """
    records: list[Record] = []
    at = skip_space(text, 0)
    if text[at : at + 1] == "{" and is_object(text[at:].partition("\n")[0]):
        return parse_lines(text, place)
    if text[at : at + 1] != "[":
        raise InputError(
            f"{place}: line {line_of(text, at)}: must be a list of objects, [...], or one object a"
            " line."
        )
    at = skip_space(text, at + 1)
    line, counted = 1, 0
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        where = f"{place}: line {line}, item {len(records) + 1}"
        end = end_of(text, at, place, where)
        records.append(to_record(parse_json(where, text[at:end]), where))
        at = end
        at = skip_space(text, at)
        if text[at : at + 1] == ",":
            at = skip_space(text, at + 1)
            if text[at : at + 1] == "]":
                raise InputError(f"{place}: line {line_of(text, at)}: not JSON: ',' before ']'.")
        elif text[at : at + 1] != "]":
            raise InputError(f"{place}: line {line_of(text, at)}: not JSON: ',' or ']' is missing.")
    if (end := skip_space(text, at + 1)) != len(text):
        raise InputError(
            f"{place}: line {line_of(text, end)}: not JSON: more after the list's end."
        )
    return records


def parse_table(text: str, place: str, delimiter: str) -> list[Record]:
    """Read rows under a header line; a quoted cell may span lines."""
    return [
        Record(f"{place}: line {line}", dict(values))
        for line, values in table(text, place, delimiter)
    ]


def end_of(text: str, at: int, place: str, where: str) -> int:
    """Return where a JSON value of a longer text ends.

    Raises:
        InputError: no JSON, named by its line; or what the parser gives up on, named by `where`.
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


def to_record(value: object, place: str) -> Record:
    """Refuse anything but an object."""
    if not isinstance(value, dict):
        raise InputError(f"{place}: must be an object {{...}}, got {shown(value)}.")
    return Record(place, cast("dict[str, Any]", value))


def skip_space(text: str, at: int) -> int:
    """Return the offset of the next character that is not JSON white space."""
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def line_of(text: str, at: int) -> int:
    """Return the line number of an offset, from 1."""
    return text.count("\n", 0, at) + 1
