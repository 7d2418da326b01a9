"""What `predict --file` takes for texts: what `run` reads, and lines."""

import io
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from amlora.cli.read_texts import in_places, read_texts
from amlora.mixture.manifest import TaskCard
from refused import refusal

CARD = TaskCard(name="t", instruction="", options=())
LINES = "a b\u2028c\x85d\x0be\r\n\r\n f \n\n"
READ = ["a b\u2028c\x85d\x0be", None, " f ", None]


@pytest.fixture
def write(tmp_path: Path):
    """Write a text file under the test's folder."""

    def write_file(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write_file


def complaint(file: object, card: TaskCard | None = CARD) -> str:
    return refusal(read_texts, str(file), card)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines_end_at_line_feeds_and_keep_their_places(tmp_path, mark):
    path = tmp_path / "texts.TXT"
    path.write_bytes(mark + LINES.encode())
    assert read_texts(str(path), CARD) == READ


def test_the_standard_input_is_read_as_lines(monkeypatch):
    given = SimpleNamespace(buffer=io.BytesIO(LINES.encode()))
    monkeypatch.setattr(sys, "stdin", given)
    assert read_texts("-", None) == READ


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "id;text;label\n1;a, b;x\n2;;x\n"),
        ("a.tsv", "text\tid\na, b\t1\n\t2\n"),
        ("a.json", '[{"text": "a, b"}, {"text": null}]'),
        ("a.JSONL", '{"text": "a, b"}\n\n{"text": " "}\n'),
    ],
)
def test_tables_are_read_as_run_reads_them(write, name, text):
    assert read_texts(str(write(name, text)), CARD) == ["a, b", None]


def test_a_card_names_the_column_or_the_form_of_the_text(write):
    path = str(write("a.csv", "title,body,text\nx,y,z\nx,,z\n"))
    by_column = TaskCard(name="t", instruction="", options=(), text_column="body")
    by_form = TaskCard(name="t", instruction="", options=(), forms=("{title}: {body}", "{title}"))
    assert read_texts(path, by_column) == ["y", None]
    assert read_texts(path, by_form) == ["x: y", "x"]
    assert read_texts(path, None) == ["z", "z"]
    other = str(write("b.csv", "text\nz\n"))
    assert read_texts(other, by_column) == ["z"]
    assert complaint(other, by_form).startswith("--task t: column 'title' is not in")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.jsonl", '{"text": 3}', "FILE: line 1: text must be text, got 3 (int)."),
        ("a.jsonl", '{"text": "\\ud800"}', "FILE: line 1: '\\ud800' is half a character."),
        (
            "a.csv",
            "texts\na\n",
            "--file: column 'text' is not in FILE: line 2; columns are: 'texts'; did you",
        ),
        ("a.txt", "\n \n", "FILE: no texts."),
        ("a.csv", "text\n", "FILE: no texts."),
        ("a.md", "a", "--file: FILE must end in one of .txt, .jsonl, .json, .csv, .tsv, .parquet"),
    ],
)
def test_what_cannot_be_read_is_named(write, name, text, expected):
    path = write(name, text)
    assert complaint(path).replace(str(path), "FILE").startswith(expected)


def test_pipes_and_devices_are_refused_and_links_are_read(tmp_path, write):
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "link.txt").symlink_to(write("real", "a\n"))
    for name, kind in (("pipe.txt", "a pipe"), ("zero.txt", "a device")):
        assert complaint(tmp_path / name).startswith(f"{tmp_path / name}: {kind}; only regular")
    assert complaint(tmp_path / "none.txt") == f"{tmp_path / 'none.txt'}: no such file."
    assert read_texts(str(tmp_path / "link.txt"), None) == ["a"]


def test_answers_stand_in_the_places_of_their_texts():
    given = [{"task": "t", "text": text, "answer": text.upper()} for text in ("a", "b")]
    made = in_places(given, [None, "a", None, "b"], "t")
    assert [each["answer"] for each in made] == [None, "A", None, "B"]
    assert made[0] == {"task": "t", "text": None, "answer": None}
