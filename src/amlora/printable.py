"""Text from data as it may be shown: what would act on a terminal or a page is spelled out.

A label can hold an escape sequence that clears the screen, a carriage return that overwrites the
line, or a mark that turns the order of letters round. Spelled out they are seen and do nothing, and
a JSON or TOML text in which they stood still says the same.
"""

import json
import re
import unicodedata
from collections.abc import Container, Sequence
from typing import Any

ACTS = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # directions, the unseen
    "\u2028\u2029\ufff9-\ufffb\ufffe\uffff"  # ends of lines, notes, no letters
    "\U000e0000-\U000e007f"  # tags
    "\ud800-\udfff"  # bytes of a name that is not UTF-8
    "]"
)
BREAKS = re.compile("[\t\n]")
MARKDOWN = re.compile(r"[\\|*<>`$~&]|\](?=[(\[])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown, or HTML in it, reads as its own; `_` within a word it does not."""
WIDE = ("W", "F")


def printable(text: str) -> str:
    """Return a text of any number of lines with nothing in it that acts but tabs and line ends."""
    return ACTS.sub(lambda found: spelled(found[0]), text)


def one_line(text: str) -> str:
    """Return a text, such as a cell of a table, as one line with nothing in it that acts."""
    return BREAKS.sub(lambda found: "\\t" if found[0] == "\t" else "\\n", printable(text))


def markdown_safe(text: str) -> str:
    """Return a text as one line in which nothing is Markdown, HTML or a formula."""
    return " ".join(MARKDOWN.sub(r"\\\g<0>", printable(text)).split())


def spelled(letter: str) -> str:
    """Return a letter's number as JSON and TOML spell it."""
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def json_text(value: Any, indent: int | None = 1) -> str:
    """Return a plain value as JSON of ASCII letters alone, in which nothing acts."""
    text = json.dumps(value, indent=indent, ensure_ascii=True, allow_nan=False, default=str)
    return text.replace("\x7f", "\\u007f")


def json_line(value: Any) -> str:
    """Return a plain value as such JSON on one line."""
    return json_text(value, None)


def width(text: str) -> int:
    """Return how many columns of a terminal a line takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in WIDE)
        for letter in text
    )


def aligned(rows: Sequence[Sequence[str]], *, right: Container[int] = ()) -> str:
    """Return rows of equal length as lines, two blanks between columns.

    Args:
        rows: at least one; whatever a cell holds, its row is one line.
        right: the columns that are set to the right, from 0.
    """
    shown = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*shown, strict=True)]
    lines = []
    for row in shown:
        cells = []
        for at, (cell, wide) in enumerate(zip(row, widths, strict=True)):
            blanks = " " * (wide - width(cell))
            cells.append(f"{blanks}{cell}" if at in right else f"{cell}{blanks}")
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
