"""Readers of JSON lines, JSON and CSV that can name the line of every row.

UTF-8, with or without a byte order mark.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any, cast

from amlora import files
from amlora.errors import InputError
from amlora.streams.hub import read_parquet
from amlora.streams.rows import Record, shown

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")


def read_records(path: Path) -> list[Record]:
    """Read a file by its suffix.

    Raises:
        InputError: no such file, a suffix not in SUFFIXES, or a broken row (with file and line).
    """
    if path.suffix == ".jsonl":
        return read_jsonl(path)
    if path.suffix == ".json":
        return read_json(path)
    if path.suffix == ".csv":
        return read_csv(path)
    if path.suffix == ".parquet":
        return read_parquet(path)
    raise InputError(f"{path}: files of tasks end in one of {', '.join(SUFFIXES)}.")


def read_text(path: Path) -> str:
    """Read a UTF-8 file, line ends unchanged.

    Raises:
        InputError: no such file, or bytes that are not UTF-8, with their line.
    """
    try:
        data = files.read_bytes(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The offsets of this codec start after the byte order mark, so the rest is decoded anew.
        start = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        line = data.count(b"\n", 0, start) + 1
        raise InputError(
            f"{path}: line {line}: not UTF-8: byte 0x{data[start]:02x}; save the file as UTF-8."
        ) from None


def read_jsonl(path: Path) -> list[Record]:
    """Read one object a line; blank lines are passed over."""
    records: list[Record] = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            place = f"{path}: line {number}"
            try:
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(
                    f"{place}: not JSON: {error.msg} at column {error.colno}."
                ) from None
            records.append(to_record(value, place))
    return records


def read_json(path: Path) -> list[Record]:
    """Read a list of objects, one after the other, so that each one's line is known."""
    text = read_text(path)
    decoder = json.JSONDecoder()
    records: list[Record] = []
    at = skip_space(text, 0)
    if text[at : at + 1] != "[":
        raise InputError(f"{path}: line {line_of(text, at)}: must be a list of objects: [...].")
    at = skip_space(text, at + 1)
    line, counted = 1, 0
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}: line {error.lineno}: not JSON: {error.msg}.") from None
        records.append(to_record(value, f"{path}: line {line}, item {len(records) + 1}"))
        at = skip_space(text, at)
        if text[at : at + 1] == ",":
            at = skip_space(text, at + 1)
            if text[at : at + 1] == "]":
                raise InputError(f"{path}: line {line_of(text, at)}: not JSON: ',' before ']'.")
        elif text[at : at + 1] != "]":
            raise InputError(f"{path}: line {line_of(text, at)}: not JSON: ',' or ']' is missing.")
    if (end := skip_space(text, at + 1)) != len(text):
        raise InputError(f"{path}: line {line_of(text, end)}: not JSON: more after the list's end.")
    return records


def read_csv(path: Path) -> list[Record]:
    """Read comma-separated rows under a header line; a quoted cell may span lines."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    records: list[Record] = []
    header: list[str] = []
    start = 1
    try:
        for cells in reader:
            place, start = f"{path}: line {start}", reader.line_num + 1
            if not cells:
                continue
            if not header:
                header = check_header(cells, place)
            elif len(cells) != len(header):
                raise InputError(
                    f"{place}: {len(cells)} cells under a header of {len(header)} columns."
                )
            else:
                records.append(Record(place, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise InputError(f"{path}: line {start}: not CSV: {error}.") from None
    return records


def check_header(cells: list[str], place: str) -> list[str]:
    """Return the header's names; refuse a name that is there twice."""
    names = [cell.strip() for cell in cells]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{place}: column {name!r} is there twice.")
    return names


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
