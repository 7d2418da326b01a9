import csv
import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amlora.errors import InputError
from amlora.streams.read import read_rows

# Text as files may hold it: any character but lone surrogates, which UTF-8 cannot encode.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def complaint(path) -> str:
    with pytest.raises(InputError) as caught:
        read_rows(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


def values(records):
    return [record.values for record in records]


def test_json_lines_pass_over_blank_lines_and_keep_line_numbers(write):
    path = write("a.jsonl", '{"text": "a"}\n\n{"text": "b"}\r\n')
    assert [(r.place, r.values) for r in read_rows(path)] == [
        (f"{path}: line 1", {"text": "a"}),
        (f"{path}: line 3", {"text": "b"}),
    ]


def test_json_lines_end_at_line_feeds_only(write):
    path = write("a.jsonl", json.dumps({"text": "a\u2028b\x85c"}, ensure_ascii=False) + "\n")
    assert values(read_rows(path)) == [{"text": "a\u2028b\x85c"}]


def test_broken_json_lines_are_named(write):
    path = write("a.jsonl", '{"text": "a"}\n{"text": \n')
    assert complaint(path).startswith("FILE: line 2: not JSON: Expecting value")


def test_a_json_line_that_is_no_object_is_named(write):
    path = write("a.jsonl", '{"text": "a"}\n["text"]\n')
    assert complaint(path) == ("FILE: line 2: must be an object {...}, got ['text'] (list).")


def test_json_rows_know_the_line_they_start_on(write):
    path = write("a.json", '[\n {"text":\n  "a"},\n\n {"text": "b"}, {"text": "c"}]\n')
    assert [record.place for record in read_rows(path)] == [
        f"{path}: line 2, item 1",
        f"{path}: line 5, item 2",
        f"{path}: line 5, item 3",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[\n{"a": 1}\n{"a": 2}]', "FILE: line 3: not JSON: ',' or ']' is missing."),
        ('[{"a": 1},\n]', "FILE: line 2: not JSON: ',' before ']'."),
        ('[{"a": 1}', "FILE: line 1: not JSON: ',' or ']' is missing."),
        ('[{"a": 1},\n{"a": }]', "FILE: line 2: not JSON: Expecting value at column 7."),
        ('{\n"a": 1}', "FILE: line 1: must be a list of objects, [...], or one object a line."),
        ('{"a": 1}\n{"a"', "FILE: line 2: not JSON: Expecting ':' delimiter at column 5."),
        ("", "FILE: line 1: must be a list of objects, [...], or one object a line."),
        ("[\n1]", "FILE: line 2, item 1: must be an object {...}, got 1 (int)."),
        ("[]\n x", "FILE: line 2: not JSON: more after the list's end."),
    ],
)
def test_broken_json_is_named_by_its_line(write, text, expected):
    assert complaint(write("a.json", text)) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(TEXT, TEXT, max_size=3), max_size=5), st.sampled_from([None, 2]))
def test_json_reads_what_the_standard_library_wrote(tmp_path_factory, rows, indent):
    path = tmp_path_factory.getbasetemp() / "round.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=False), encoding="utf-8")
    assert values(read_rows(path)) == rows


def test_csv_rows_know_the_line_they_start_on_though_cells_span_lines(write):
    path = write("a.csv", 'text,label\n"two\nlines",x\nplain,y\n')
    assert [(r.place, r.values["text"]) for r in read_rows(path)] == [
        (f"{path}: line 2", "two\nlines"),
        (f"{path}: line 4", "plain"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text,label\na,b\na,b,c\n", "FILE: line 3: 3 cells under a header of 2 columns."),
        ("text,text\na,b\n", "FILE: line 1: column 'text' is there twice."),
        ('text,label\n"a"b,c\n', "FILE: line 2: not CSV: ',' expected after '\"'."),
        ('text,label\n"a,b\nc,d\n', "FILE: line 2: not CSV: unexpected end of data."),
    ],
)
def test_broken_csv_is_named_by_its_line(write, text, expected):
    assert complaint(write("a.csv", text)) == expected


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_bytes_that_are_not_utf8_are_named_by_their_line(tmp_path, mark):
    path = tmp_path / "a.csv"
    path.write_bytes(mark + b"text,label\ngood,x\ncaf\xe9,y\n")
    assert complaint(path) == ("FILE: line 3: not UTF-8: byte 0xe9; save the file as UTF-8.")


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbftext,label\na,b\n")
    assert values(read_rows(path)) == [{"text": "a", "label": "b"}]


@pytest.mark.parametrize("name", ["a.JSONL", "a.jsonl.gz", "A.Json.GZ", "a.Csv", "a.tsv.gz"])
def test_letter_case_and_packing_of_a_name_do_not_matter(tmp_path, name):
    kind = name.lower().split(".")[1]
    text = {"csv": "text,label\na,b\n", "tsv": "text\tlabel\na\tb\n"}.get(
        kind, '{"text": "a", "label": "b"}\n'
    )
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.lower().endswith("gz") else data)
    assert values(read_rows(tmp_path / name)) == [{"text": "a", "label": "b"}]


def test_a_packed_file_that_is_not_whole_is_named(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"text,label\n" + b"a,b\n" * 1000)[:-12])
    assert complaint(path).startswith("FILE: not a whole gzip file: ")
    path.write_bytes(b"text,label\n")
    assert complaint(path).startswith("FILE: not a whole gzip file: ")


def test_json_lines_in_a_json_file_are_read_as_lines(write):
    path = write("a.json", '{"text": "a"}\n{"text": "b"}\n')
    assert [(r.place, r.values) for r in read_rows(path)] == [
        (f"{path}: line 1", {"text": "a"}),
        (f"{path}: line 2", {"text": "b"}),
    ]


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


def test_a_long_cell_of_csv_is_read(write):
    path = write("a.csv", f"text,label\n{'a' * 200_000},b\n")
    limit = csv.field_size_limit()
    assert len(str(read_rows(path)[0].values["text"])) == 200_000
    assert csv.field_size_limit() == limit


def test_an_unknown_kind_of_file_is_refused(write):
    assert complaint(write("a.txt", "x")) == (
        "FILE: files of tasks end in one of .jsonl, .json, .csv, .tsv, .parquet, or one of these"
        " and .gz."
    )


def test_a_missing_file_is_named(tmp_path):
    assert complaint(tmp_path / "a.json") == "FILE: no such file."
