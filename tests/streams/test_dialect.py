"""CSV as spreadsheets and libraries write it."""

import pytest

from amlora.errors import InputError
from amlora.streams.dialect import COMMA, TAB, table

ROW = {"text": "a", "label": "b"}
READ = {
    "commas": ("text,label\na,b\n", [(2, ROW)]),
    "semicolons": ("text;label\na;b\n", [(2, ROW)]),
    "tabs": ("text\tlabel\na\tb\n", [(2, ROW)]),
    "a line that says what parts cells": ("sep=;\r\ntext;label\r\na;b\r\n", [(3, ROW)]),
    "such a line in quotes, with another mark": ('"sep=|"\ntext|label\na|b\n', [(3, ROW)]),
    "commas inside quoted names": (
        '"text";"label, short"\na;b\n',
        [(2, {"text": "a", "label, short": "b"})],
    ),
    "commas win where both are there": ("text,a;b\nx;y,z\n", [(2, {"text": "x;y", "a;b": "z"})]),
    "a blank after the comma": (
        '"text", "label"\n"a, and", "b"\n',
        [(2, {"text": "a, and", "label": "b"})],
    ),
    "a blank that belongs to a text": ("label,text\nb, a\n", [(2, {"label": "b", "text": " a"})]),
    "old line ends": ("text,label\ra,b\r", [(2, ROW)]),
    "empty lines": ("\n\ntext,label\n\na,b\n", [(5, ROW)]),
    "empty columns of a spreadsheet": ("text,label,,\na,b,,\n", [(2, ROW)]),
    "row numbers of pandas": (",text,label\n0,a,b\n1,a,b\n", [(2, ROW), (3, ROW)]),
    "one column": ("text\na b\n", [(2, {"text": "a b"})]),
    "a cell over lines": (
        'text,label\n"a\nc",b\na,b\n',
        [(2, {"text": "a\nc", "label": "b"}), (4, ROW)],
    ),
    "doubled quotes": ('text,label\n"say ""a""",b\n', [(2, {"text": 'say "a"', "label": "b"})]),
    "a quote inside a cell": ('text,label\n5" disk,b\n', [(2, {"text": '5" disk', "label": "b"})]),
    "nothing": ("", []),
    "a header alone": ("text,label\n", []),
}
REFUSED = {
    "a text with a comma and no quotes": (
        "text,label,,\na, and,b,\n",
        "FILE: line 2: 'b' stands in column 3, which has no name; put a text that holds a comma in"
        " quotes.",
    ),
    "no names": (
        ",,\na,b,c\n",
        "FILE: line 1: a header without names; the first line names the columns.",
    ),
    "too many cells": ("text;label\na;b;c\n", "FILE: line 2: 3 cells under a header of 2 columns."),
    "text behind a quoted cell": (
        'text, label\n"x", "a" b\n',
        "FILE: line 2: not CSV: ',' expected after '\"'.",
    ),
    "tabs, told readably": (
        'sep=\t\ntext\tlabel\n"a"b\tc\n',
        "FILE: line 3: not CSV: '\\t' expected after '\"'.",
    ),
    "an open quote": ('text,label\n"a,b\n', "FILE: line 2: not CSV: unexpected end of data."),
}


@pytest.mark.parametrize(("text", "expected"), READ.values(), ids=READ.keys())
def test_rows_are_read(text, expected):
    assert list(table(text, "FILE")) == expected


@pytest.mark.parametrize(("text", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_broken_rows_are_named_by_their_line(text, expected):
    with pytest.raises(InputError) as caught:
        list(table(text, "FILE", COMMA))
    assert str(caught.value) == expected


def test_tabs_part_cells_where_the_name_says_so():
    assert list(table("a, b\tlabel\nx, y\tz\n", "FILE", TAB)) == [
        (2, {"a, b": "x, y", "label": "z"})
    ]
