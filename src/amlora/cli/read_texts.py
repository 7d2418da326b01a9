"""The texts that `amlora predict` answers, and the place of each in its file.

Tables are read by the reader of tasks (`streams/read.py`), so what `run` learned from is what
`predict` reads. A text file, or the standard input, holds one text a line. A blank line, or a row
without a text, keeps its place and gets no answer, so that answers stand beside their rows.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amlora.errors import InputError
from amlora.streams.read import PACKED, SUFFIXES, kind_of, parse_rows, read_data, to_text
from amlora.streams.rows import PAIR_COLUMNS, TEXT, RawRow, check_characters, compose, shown

if TYPE_CHECKING:
    from amlora.mixture.manifest import TaskCard

STANDARD_INPUT = "-"
LINES = ".txt"


def read_texts(file: str, card: "TaskCard | None") -> list[str | None]:
    """Return the texts of a file, None where there is none.

    Args:
        file: its path, or STANDARD_INPUT.
        card: says how a table's columns become a text; None for the column `text`.
    """
    if file == STANDARD_INPUT:
        texts = lines_of(sys.stdin.buffer.read(), file)
    else:
        kind = kind_of(path := Path(file))
        if kind != LINES and kind not in SUFFIXES:
            raise InputError(
                f"--file: {file} must end in one of {', '.join((LINES, *SUFFIXES))}, or one of"
                f" these and {PACKED}; {STANDARD_INPUT} reads the standard input."
            )
        data = read_data(path)
        if kind == LINES:
            texts = lines_of(data, file)
        else:
            texts = texts_of(parse_rows(data, kind, file), card)
    if not any(texts):
        raise InputError(f"{file}: no texts.")
    return texts


def lines_of(data: bytes, place: str) -> list[str | None]:
    """Return one text a line. Lines end at a line feed, with or without a carriage return before.

    Other characters that some programs end lines at, as U+2028, are part of a text.
    """
    lines = to_text(data, place).split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") if line.strip() else None for line in lines]


def lines_as_they_come() -> Iterator[str | None]:
    """Give the lines of the standard input, each as soon as it is there, as `lines_of` does.

    An InputError if they hold no text at all.
    """
    found = False
    for number, line in enumerate(sys.stdin.buffer, start=1):
        for text in lines_of(line, f"{STANDARD_INPUT}: line {number}"):
            found = found or text is not None
            yield text
    if not found:
        raise InputError(f"{STANDARD_INPUT}: no texts.")


def texts_of(rows: Sequence[RawRow], card: "TaskCard | None") -> list[str | None]:
    """Return the text of each row of a table."""
    if card is not None and card.forms:
        rows, column = compose(rows, card.forms, f"--task {card.name}"), TEXT
    else:
        wanted = [TEXT, PAIR_COLUMNS[0]] if card is None else [card.text_column, TEXT]
        names = rows[0].values if rows else {}
        column = next((name for name in wanted if name in names), wanted[0])
    return [text_of(row, column) for row in rows]


def text_of(row: RawRow, column: str) -> str | None:
    """Return the text in a row's column, None where it is empty."""
    text = row.value(column, "--file")
    if text is None:
        return None
    if not isinstance(text, str):
        raise InputError(f"{row.place}: {column} must be text, got {shown(text)}.")
    check_characters(text, row.place, column)
    return text if text.strip() else None


def in_places(
    answers: Sequence[dict[str, Any]], texts: Sequence[str | None], task: str | None
) -> list[dict[str, Any]]:
    """Return the answers, and an empty one, of a task, in the place of each text that is None."""
    given = iter(answers)
    gap = {"task": task, "text": None, "answer": None}
    return [dict(gap) if text is None else next(given) for text in texts]
