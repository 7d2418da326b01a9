import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amlora.errors import InputError
from amlora.streams.read import read_csv, read_json, read_jsonl, read_records

# Text as files may hold it: any character but lone surrogates, which UTF-8 cannot encode.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def complaint(read, path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


def values(records):
    return [record.values for record in records]


def test_json_lines_pass_over_blank_lines_and_keep_line_numbers(write):
    path = write("a.jsonl", '{"text": "a"}\n\n{"text": "b"}\r\n')
    assert [(r.place, r.values) for r in read_jsonl(path)] == [
        (f"{path}: line 1", {"text": "a"}),
        (f"{path}: line 3", {"text": "b"}),
    ]


def test_json_lines_end_at_line_feeds_only(write):
    path = write("a.jsonl", json.dumps({"text": "a\u2028b\x85c"}, ensure_ascii=False) + "\n")
    assert values(read_jsonl(path)) == [{"text": "a\u2028b\x85c"}]


def test_broken_json_lines_are_named(write):
    path = write("a.jsonl", '{"text": "a"}\n{"text": \n')
    assert complaint(read_jsonl, path).startswith("FILE: line 2: not JSON: Expecting value")


def test_a_json_line_that_is_no_object_is_named(write):
    path = write("a.jsonl", '{"text": "a"}\n["text"]\n')
    assert complaint(read_jsonl, path) == (
        "FILE: line 2: must be an object {...}, got ['text'] (list)."
    )


def test_json_rows_know_the_line_they_start_on(write):
    path = write("a.json", '[\n {"text":\n  "a"},\n\n {"text": "b"}, {"text": "c"}]\n')
    assert [record.place for record in read_json(path)] == [
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
        ('[{"a": 1},\n{"a": }]', "FILE: line 2: not JSON: Expecting value."),
        ('{"a": 1}', "FILE: line 1: must be a list of objects: [...]."),
        ("", "FILE: line 1: must be a list of objects: [...]."),
        ("[\n1]", "FILE: line 2, item 1: must be an object {...}, got 1 (int)."),
        ("[]\n x", "FILE: line 2: not JSON: more after the list's end."),
    ],
)
def test_broken_json_is_named_by_its_line(write, text, expected):
    assert complaint(read_json, write("a.json", text)) == expected


@settings(max_examples=40)
@given(st.lists(st.dictionaries(TEXT, TEXT, max_size=3), max_size=5), st.sampled_from([None, 2]))
def test_json_reads_what_the_standard_library_wrote(tmp_path_factory, rows, indent):
    path = tmp_path_factory.getbasetemp() / "round.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=False), encoding="utf-8")
    assert values(read_json(path)) == rows


def test_csv_rows_know_the_line_they_start_on_though_cells_span_lines(write):
    path = write("a.csv", 'text,label\n"two\nlines",x\nplain,y\n')
    assert [(r.place, r.values["text"]) for r in read_csv(path)] == [
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
    assert complaint(read_csv, write("a.csv", text)) == expected


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_bytes_that_are_not_utf8_are_named_by_their_line(tmp_path, mark):
    path = tmp_path / "a.csv"
    path.write_bytes(mark + b"text,label\ngood,x\ncaf\xe9,y\n")
    assert complaint(read_csv, path) == (
        "FILE: line 3: not UTF-8: byte 0xe9; save the file as UTF-8."
    )


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbftext,label\na,b\n")
    assert values(read_csv(path)) == [{"text": "a", "label": "b"}]


def test_an_unknown_kind_of_file_is_refused(write):
    assert complaint(read_records, write("a.txt", "x")) == (
        "FILE: files of tasks end in one of .jsonl, .json, .csv, .parquet."
    )


def test_a_missing_file_is_named(tmp_path):
    assert complaint(read_records, tmp_path / "a.json") == "FILE: no such file."
