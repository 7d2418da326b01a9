"""How a CSV file is laid out: what parts its cells, how they are quoted, which columns have names.

Spreadsheets and libraries write CSV in several ways. What is read alike, whoever wrote it:

- commas, semicolons or tabs between cells, told by the header; a first line "sep=;" says it too;
- a cell in quotes, also behind a blank, may hold what parts cells, lines, and quotes (doubled);
- a first column without a name, which pandas writes, numbers the rows and is left out;
- later columns without names, which spreadsheets leave behind, are left out as they are empty.
"""

import csv
import io
import re
import sys
from collections.abc import Iterator

from amlora.errors import InputError

COMMA, TAB = ",", "\t"
DELIMITERS = (COMMA, ";", TAB)
SAYS_DELIMITER = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
QUOTED = re.compile(r'"[^"]*"')


def table(text: str, place: str, usual: str = COMMA) -> Iterator[tuple[int, dict[str, str]]]:
    """Give each row under the header with the line that it starts on, or name a broken row's.

    Empty lines are passed over. TAB is usual where the file's name says so; COMMA lets the header
    tell.
    """
    before = 0
    if said := SAYS_DELIMITER.match(text):
        usual, before, text = said.group(1), 1, text[said.end() :]
    elif usual == COMMA:  # or what parts the names of the first line that holds anything
        first = next((line for line in io.StringIO(text) if line.strip()), "")
        bare = QUOTED.sub("", first)
        usual = next((mark for mark in DELIMITERS if mark in bare), COMMA)
    names: list[str] = []
    for line, cells in rows(text, place, usual, before):
        where = f"{place}: line {line}"
        if not names:
            names = [cell.strip() for cell in cells]
            if not any(names):
                why = "a header without names; the first line names the columns."
                raise InputError(f"{where}: {why}")
            for name in filter(None, names):
                if names.count(name) > 1:
                    raise InputError(f"{where}: column {name!r} is there twice.")
            continue
        if len(cells) != len(names):
            raise InputError(f"{where}: {len(cells)} cells under a header of {len(names)} columns.")
        for number, cell in enumerate(cells):
            # A text with a comma but without quotes pushed it there.
            if number and not names[number] and cell.strip():
                shown = cell if len(cell) <= 40 else cell[:37] + "..."
                raise InputError(
                    f"{where}: {shown!r} stands in column {number + 1}, which has no name; put a"
                    " text that holds a comma in quotes."
                )
        yield line, {name: cell for name, cell in zip(names, cells, strict=True) if name}


def rows(text: str, place: str, delimiter: str, before: int) -> Iterator[tuple[int, list[str]]]:
    """Give each row's cells and its line; `before` lines of the file stand before the text."""
    # Only a blank before a quote is dropped: one before other text is a part of it.
    blanks = re.search(re.escape(delimiter) + ' +"', text) is not None
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        skipinitialspace=blanks,
        strict=True,
    )
    start = 1
    limit = csv.field_size_limit(sys.maxsize)  # of a cell, for the whole process
    try:
        for cells in reader:
            if cells:
                yield before + start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        why = str(error).replace(TAB, "\\t")
        raise InputError(f"{place}: line {before + start}: not CSV: {why}.") from None
    finally:
        csv.field_size_limit(limit)
