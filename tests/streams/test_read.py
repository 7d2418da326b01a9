"""Readers of files: what is read alike, and how a broken row is named by its line."""

import csv
import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amlora.streams.dialect import TAB, table
from amlora.streams.read import read_rows
from refused import refusal

# Text as files may hold it: any character but lone surrogates, which UTF-8 cannot encode.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ROW = {"text": "a", "label": "b"}


def complaint(path) -> str:
    return refusal(read_rows, path).replace(str(path), "FILE")


def placed(path) -> list[tuple[str, object]]:
    """Where each row is, behind the file's name, and its text."""
    rows = read_rows(path)
    return [(row.place.removeprefix(f"{path}: "), row.values["text"]) for row in rows]


def values(path) -> list[dict[str, object]]:
    return [row.values for row in read_rows(path)]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.jsonl", '{"text": "a"}\n\n{"text": "b"}\r\n', [("line 1", "a"), ("line 3", "b")]),
        ("a.jsonl", '{"text": "a\u2028b\x85c"}\n', [("line 1", "a\u2028b\x85c")]),
        ("lines.json", '{"text": "a"}\n{"text": "b"}\n', [("line 1", "a"), ("line 2", "b")]),
        (
            "a.json",
            '[\n {"text":\n  "a"},\n\n {"text": "b"}, {"text": "c"}]\n',
            [("line 2, item 1", "a"), ("line 5, item 2", "b"), ("line 5, item 3", "c")],
        ),
        (
            "a.csv",
            'text,label\n"two\nlines",x\nplain,y\n',
            [("line 2", "two\nlines"), ("line 4", "plain")],
        ),
        ("a.csv", "\ufefftext,label\na,b\n", [("line 2", "a")]),
        ("as they are.csv", "text,n\n007,1.0\nNA,\n", [("line 2", "007"), ("line 3", "NA")]),
    ],
)
def test_rows_know_the_line_they_start_on(write, name, text, expected):
    assert placed(write(name, text)) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "a.jsonl",
            '{"text": "a"}\n["text"]\n',
            "line 2: must be an object {...}, got ['text'] (l",
        ),
        ("a.jsonl", '{"text": "a"}\n{"text": \n', "line 2: not JSON: Expecting value"),
        ("a.json", '[\n{"a": 1}\n{"a": 2}]', "line 3: not JSON: ',' or ']' is missing."),
        ("a.json", '[{"a": 1},\n]', "line 2: not JSON: ',' before ']'."),
        ("a.json", '[{"a": 1}', "line 1: not JSON: ',' or ']' is missing."),
        ("a.json", '[{"a": 1},\n{"a": }]', "line 2: not JSON: Expecting value at column 7."),
        ("a.json", '{\n"a": 1}', "line 1: must be a list of objects, [...], or one object a line."),
        ("a.json", '{"a": 1}\n{"a"', "line 2: not JSON: Expecting ':' delimiter at column 5."),
        ("a.json", "", "line 1: must be a list of objects, [...], or one object a line."),
        ("a.json", "[\n1]", "line 2, item 1: must be an object {...}, got 1 (int)."),
        ("a.json", "[]\n x", "line 2: not JSON: more after the list's end."),
        ("a.csv", "text,text\na,b\n", "line 1: column 'text' is there twice."),
        ("a.txt", "x", "files of tasks end in one of .jsonl, .json, .csv, .tsv, .parquet, or one"),
        ("b.parquet", "x", "not a whole Parquet file: "),
    ],
)
def test_what_is_broken_is_named_by_its_line(write, name, text, expected):
    assert complaint(write(name, text)).startswith(f"FILE: {expected}")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[" * 100_000, "nested more than 100 levels deep."),
        ("1" * 5000, "a number of thousands of digits."),
        ("NaN", "NaN is not a finite number."),
    ],
)
def test_json_that_the_parser_gives_up_on_is_named_by_its_line(write, name, value, expected):
    first = '{"text": "a", "label": "x"}'
    text = f'{first}\n{{"text": {value}}}' if name == "a.jsonl" else f"[{first},\n{value}]"
    item = ", item 2" if name == "a.json" else ""
    assert complaint(write(name, text)) == f"FILE: line 2{item}: {expected}"
    if name == "a.json":
        assert complaint(write(name, f'{{"text": {value}}}')) == f"FILE: line 1: {expected}"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(TEXT, TEXT, max_size=3), max_size=5), st.sampled_from([None, 2]))
def test_json_reads_what_the_standard_library_wrote(tmp_path_factory, rows, indent):
    path = tmp_path_factory.getbasetemp() / "round.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=False), encoding="utf-8")
    assert values(path) == rows


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_bytes_that_are_not_utf8_are_named_by_their_line(tmp_path, mark):
    path = tmp_path / "a.csv"
    path.write_bytes(mark + b"text,label\ngood,x\ncaf\xe9,y\n")
    assert complaint(path) == ("FILE: line 3: not UTF-8: byte 0xe9; save the file as UTF-8.")


@pytest.mark.parametrize("name", ["a.JSONL", "a.jsonl.gz", "A.Json.GZ", "a.Csv", "a.tsv.gz"])
def test_letter_case_and_packing_of_a_name_do_not_matter(tmp_path, name):
    kind = name.lower().split(".")[1]
    text = {"csv": "text,label\na,b\n", "tsv": "text\tlabel\na\tb\n"}.get(
        kind, '{"text": "a", "label": "b"}\n'
    )
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.lower().endswith("gz") else data)
    assert values(tmp_path / name) == [ROW]


def test_a_packed_file_that_is_not_whole_or_missing_is_named(tmp_path):
    path = tmp_path / "a.csv.gz"
    assert complaint(path) == "FILE: no such file."
    for data in (gzip.compress(b"text,label\n" + b"a,b\n" * 1000)[:-12], b"text,label\n"):
        path.write_bytes(data)
        assert complaint(path).startswith("FILE: not a whole gzip file: ")


def test_a_long_cell_of_csv_is_read(write):
    path = write("a.csv", f"text,label\n{'a' * 200_000},b\n")
    limit = csv.field_size_limit()
    assert len(str(read_rows(path)[0].values["text"])) == 200_000
    assert csv.field_size_limit() == limit


CSV = {
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
        "line 2: 'b' stands in column 3, which has no name; put a text that holds a comma in"
        " quotes.",
    ),
    "no names": (
        ",,\na,b,c\n",
        "line 1: a header without names; the first line names the columns.",
    ),
    "too many cells": ("text;label\na;b;c\n", "line 2: 3 cells under a header of 2 columns."),
    "too many cells later": ("a,b\na,b\na,b,c\n", "line 3: 3 cells under a header of 2 columns."),
    "text behind a quoted cell": (
        'text, label\n"x", "a" b\n',
        "line 2: not CSV: ',' expected after '\"'.",
    ),
    "tabs, told readably": (
        'sep=\t\ntext\tlabel\n"a"b\tc\n',
        "line 3: not CSV: '\\t' expected after '\"'.",
    ),
    "an open quote": ('text,label\n"a,b\n', "line 2: not CSV: unexpected end of data."),
}


@pytest.mark.parametrize("case", CSV)
def test_csv_is_read_as_spreadsheets_and_libraries_write_it(case):
    text, expected = CSV[case]
    assert list(table(text, "FILE")) == expected


@pytest.mark.parametrize("case", REFUSED)
def test_broken_csv_is_named_by_its_line(case):
    text, expected = REFUSED[case]
    assert refusal(lambda: list(table(text, "FILE"))) == f"FILE: {expected}"


def test_tabs_part_cells_where_the_name_says_so():
    expected = [(2, {"a, b": "x, y", "label": "z"})]
    assert list(table("a, b\tlabel\nx, y\tz\n", "FILE", TAB)) == expected
