"""Texts put together from columns, and labels exchanged for answers."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal

import pytest

from amlora.errors import InputError
from amlora.streams.compose import compose, parts, to_answers
from amlora.streams.load import load_stream
from amlora.streams.rows import RawRow
from amlora.streams.settings import StreamSettings, TaskSettings
from amlora.streams.task import Example


def labelled(*labels: str) -> list[Example]:
    return [
        Example(text="t", label=label, row=f"train:{i}", place="a.csv: line 2")
        for i, label in enumerate(labels)
    ]


def text(values: Mapping[str, object], *forms: str) -> object:
    [made] = compose([RawRow("a.csv: line 2", dict(values))], forms, "task.forms")
    return made.values["text"]


def test_columns_are_put_in_unchanged():
    values = {"title": " {x} ", "body": "two\nlines"}
    assert text(values, "Title: {title}\n{body}") == "Title:  {x} \ntwo\nlines"


def test_a_doubled_brace_is_one_of_the_text():
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
    [made] = compose([RawRow("p", {"a": "x", "label": 3}, 17)], ("{a}",), "f")
    assert (made.place, made.at, made.values["label"]) == ("p", 17, 3)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("{a", "task.forms: '{a': expected '}' before end of string; a brace of the text"),
        ("a}", "task.forms: 'a}': Single '}' encountered in format string; a brace"),
        ("{}", "task.forms: '{}': braces hold a column's name and nothing else."),
        ("{a:>3}", "task.forms: '{a:>3}': braces hold a column's name and nothing else."),
        ("{a!r}", "task.forms: '{a!r}': braces hold a column's name and nothing else."),
        ("plain", "task.forms: 'plain' names no column; write one as {column}."),
    ],
)
def test_a_form_that_is_none_is_refused(form, expected):
    with pytest.raises(InputError) as caught:
        parts(form, "task.forms")
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"titel": "x"}, "task.forms: column 'title' is not in a.csv: line 2; columns are:"),
        ({"title": [3]}, "a.csv: line 2: title must be text or a number, got [3] (list)."),
        ({"title": "\ud83d"}, "a.csv: line 2: title holds '\\ud83d', half of a character"),
    ],
)
def test_a_column_that_cannot_serve_is_named(values, expected):
    with pytest.raises(InputError) as caught:
        text(values, "{title}")
    assert str(caught.value).startswith(expected)


def test_labels_are_exchanged_and_rows_without_one_stay():
    rows = labelled(*("0", "1", "-", ""))
    made = to_answers(rows, {"0": "no", "1": "yes"}, "task.answers")
    assert [row.label for row in made] == ["no", "yes", "-", ""]


def test_a_label_that_has_an_answer_is_a_label_whatever_it_is():
    rows = labelled(*("+", "-", ""))
    made = to_answers(rows, {"+": "yes", "-": "no", "": "unknown"}, "task.answers")
    assert [row.label for row in made] == ["yes", "no", "unknown"]


def test_rows_labelled_with_a_dash_are_learned_where_the_dash_has_an_answer(tmp_path, write):
    rows = [{"text": f"t{i}", "label": "+-"[i % 2]} for i in range(20)]
    write("own/train.json", json.dumps(rows))
    task = TaskSettings(name="own", source=str(tmp_path / "own"), answers={"+": "good", "-": "bad"})
    stream, warnings = load_stream(StreamSettings(tasks=(task,)))
    [loaded] = stream.tasks
    assert loaded.options == ("bad", "good")
    assert len(loaded.train) + len(loaded.dev) + len(loaded.test) == 20
    assert not [warning for warning in warnings if "without a label" in warning]


def test_a_label_without_an_answer_is_named():
    with pytest.raises(InputError) as caught:
        to_answers(labelled("nay"), {"no": "bad"}, "task.answers")
    assert str(caught.value) == "a.csv: line 2: label 'nay' is not in task.answers: 'no'."


def test_a_task_of_own_files_may_use_both(tmp_path, write):
    rows = [{"title": f"t{i}", "body": f"b{i}", "kind": i % 2} for i in range(20)]
    write("own/train.json", json.dumps(rows))
    task = TaskSettings(
        name="own",
        source=str(tmp_path / "own"),
        forms=("{title}: {body}",),
        label="kind",
        answers={"0": "no", "1": "yes"},
    )
    [loaded] = load_stream(StreamSettings(tasks=(task,)))[0].tasks
    assert loaded.options == ("no", "yes")
    found = {(e.text, e.label) for e in (*loaded.train, *loaded.dev, *loaded.test)}
    assert found == {(f"t{i}: b{i}", ("no", "yes")[i % 2]) for i in range(20)}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"forms": ("{a",)}, "task.forms: '{a'"),
        ({"forms": ("{a}",), "text": "a"}, "task: forms take the place of text;"),
        ({"forms": ("{a}",), "label": "text"}, "task: forms take the place of text;"),
        (
            {"answers": {"0": "nay"}, "options": ("no", "yes")},
            "task.answers: 'nay', the answer for '0', is not among the options",
        ),
        ({"answers": {"x": "-"}}, "task.answers: '-', the answer for 'x', is empty or only"),
        ({"answers": {"x": ""}}, "task.answers: '', the answer for 'x', is empty or only"),
        ({"most_train": 5}, "task.most_train: 5 has no meaning without hub."),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields, expected):
    with pytest.raises(InputError) as caught:
        StreamSettings(tasks=(TaskSettings(name="t", source="x", **fields),))
    assert str(caught.value).replace("stream.tasks[0]", "task").startswith(expected)
