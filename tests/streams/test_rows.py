"""Rows of files become examples: columns put together, texts and labels taken, answers put in."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal

import pytest

from amlora.streams.load import load_stream
from amlora.streams.rows import RawRow, compose, parts, to_answers, to_examples, to_label
from amlora.streams.settings import StreamSettings, TaskSettings
from amlora.streams.task import Example
from refused import refusal

USUAL = ("text", "label")


def raw(index: int = 0, **values: object) -> RawRow:
    return RawRow(f"a.csv: line {index + 1}", values)


def complaint(columns=USUAL, *rows: RawRow) -> str:
    return refusal(to_examples, rows, "train", columns, "task")


def test_a_missing_column_is_named_with_the_setting_and_the_nearest_column():
    assert complaint(("txt", "label"), raw(text="a", label="b")) == (
        "task.text: column 'txt' is not in a.csv: line 1; columns are: 'text', 'label'; did you"
        " mean 'text'?"
    )
    later = complaint(USUAL, raw(text="a", label="b"), raw(1, text="a"))
    assert later.startswith("task.label: column 'label' is not in a.csv: line 2")


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        (" \n", "b", "text is empty."),
        (3, "b", "text must be text, got 3 (int)."),
        (None, "b", "text must be text, got None (NoneType)."),
        ("a", 0.5, "label must be text or a whole number, got"),
        ("a", ["b"], "label must be text or a whole number,"),
        ("ab\ud83d", "x", "text holds '\\ud83d', half of a"),
        ("a", "\udc00", "label holds '\\udc00', half of a"),
    ],
)
def test_a_value_that_is_not_text_is_named_by_its_line(text, label, expected):
    assert complaint(USUAL, raw(text=text, label=label)).startswith(f"a.csv: line 1: {expected}")


def test_prompt_and_completion_serve_where_text_and_label_are_absent():
    rows, used = to_examples([raw(prompt="a", completion="b")], "dev", USUAL, "task")
    assert [(r.text, r.label, r.row, r.place) for r in rows] == [
        ("a", "b", "dev:0", "a.csv: line 1")
    ]
    assert used == ("prompt", "completion")
    one_default = complaint(USUAL, raw(prompt="a", completion="b", text="c"))
    assert one_default.startswith("task.label: column 'label' is not in")


@pytest.mark.parametrize(
    ("value", "known", "expected"),
    [
        (3, (), "3"),
        (" yes ", (), "yes"),
        ("", (), ""),
        (True, (), "True"),
        (True, ("true", "false"), "true"),
        (False, ("True", "False"), "False"),
        ("True", ("true", "false"), "True"),
        (1, ("1",), "1"),
        (None, (), ""),
    ],
)
def test_labels_are_text_without_white_space_and_true_is_written_as_known_labels_are(
    value, known, expected
):
    assert to_label(value, "a.csv: line 1", "label", known) == expected


def text(values: Mapping[str, object], *forms: str) -> object:
    [composed] = compose([RawRow("a.csv: line 2", dict(values))], forms, "task.forms")
    return composed.values["text"]


def test_columns_are_put_in_unchanged_and_doubled_braces_are_ones_of_the_text():
    values = {"title": " {x} ", "body": "two\nlines"}
    assert text(values, "Title: {title}\n{body}") == "Title:  {x} \ntwo\nlines"
    assert text({"a": "x"}, "{{{a}}}") == "{x}"


def test_the_first_form_whose_columns_all_hold_text_is_used():
    forms = ("{a}, {b}", "{a}", "nothing of {b}")
    assert text({"a": "x", "b": "y"}, *forms) == "x, y"
    assert text({"a": "x", "b": " "}, *forms) == "x"
    assert text({"a": None, "b": ""}, *forms) == "nothing of "


@pytest.mark.parametrize(
    ("number", "expected"),
    [(3, "3"), (2.5, "2.5"), (True, "true"), (Decimal("1.50"), "1.50"), (math.nan, ""), (None, "")],
)
def test_numbers_become_text_as_json_has_them(number, expected):
    assert text({"a": number, "b": "x"}, "{a}{b}", "{a}|{b}") == (expected or "|") + "x"


def test_other_columns_and_the_place_in_the_split_are_kept():
    [composed] = compose([RawRow("p", {"a": "x", "label": 3}, 17)], ("{a}",), "f")
    assert (composed.place, composed.at, composed.values["label"]) == ("p", 17, 3)
    assert to_examples([composed], "train", USUAL, "task")[0][0].row == "train:17"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("{a", "'{a': expected '}' before end of string; a brace of the text"),
        ("a}", "'a}': Single '}' encountered in format string; a brace"),
        ("{}", "'{}': braces hold a column's name and nothing else."),
        ("{a:>3}", "'{a:>3}': braces hold a column's name and nothing else."),
        ("{a!r}", "'{a!r}': braces hold a column's name and nothing else."),
        ("plain", "'plain' names no column; write one as {column}."),
    ],
)
def test_a_form_that_is_none_is_refused(form, expected):
    assert refusal(parts, form, "task.forms").startswith(f"task.forms: {expected}")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"titel": "x"}, "task.forms: column 'title' is not in a.csv: line 2; columns are:"),
        ({"title": [3]}, "a.csv: line 2: title must be text or a number, got [3] (list)."),
        ({"title": "\ud83d"}, "a.csv: line 2: title holds '\\ud83d', half of a character"),
    ],
)
def test_a_column_that_cannot_serve_is_named(values, expected):
    assert refusal(text, values, "{title}").startswith(expected)


def answered(labels: list[str], **answers: str) -> list[str]:
    rows = [Example(text="t", label=each, row="train:0", place="a.csv: line 2") for each in labels]
    return [row.label for row in to_answers(rows, answers, "task.answers")]


def test_labels_are_exchanged_and_a_label_that_has_an_answer_is_one_whatever_it_is():
    assert answered(["0", "1", "-", ""], **{"0": "no", "1": "yes"}) == ["no", "yes", "-", ""]
    answers = {"+": "yes", "-": "no", "": "unknown"}
    assert answered(["+", "-", ""], **answers) == ["yes", "no", "unknown"]
    said = refusal(answered, ["nay"], no="bad")
    assert said == "a.csv: line 2: label 'nay' is not in task.answers: 'no'."


@pytest.mark.parametrize(
    ("labels", "answers"),
    [((0, 1), {"0": "no", "1": "yes"}), (("+", "-"), {"+": "yes", "-": "no"})],
)
def test_a_task_of_own_files_may_have_forms_and_answers(tmp_path, write, labels, answers):
    rows = [{"title": f"t{i}", "body": f"b{i}", "kind": labels[i % 2]} for i in range(20)]
    write("own/train.json", json.dumps(rows))
    task = TaskSettings(
        name="own",
        source=str(tmp_path / "own"),
        forms=("{title}: {body}",),
        label="kind",
        answers=answers,
    )
    stream, warnings = load_stream(StreamSettings(tasks=(task,)))
    [loaded] = stream.tasks
    assert loaded.options == ("no", "yes")
    found = {(e.text, e.label) for e in (*loaded.train, *loaded.dev, *loaded.test)}
    assert found == {(f"t{i}: b{i}", answers[str(labels[i % 2])]) for i in range(20)}
    assert not [warning for warning in warnings if "without a label" in warning]
