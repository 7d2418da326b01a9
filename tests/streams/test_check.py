import pytest

from amlora.errors import InputError
from amlora.streams.check import (
    check_labels,
    check_options,
    drop_unlabelled,
    find_contradictions,
    find_overlap,
    find_sameness,
)
from amlora.streams.rows import RawRow, to_examples
from amlora.streams.task import Example, answer_key, text_key


def row(text: str, label: str = "yes", index: int = 0) -> Example:
    place = f"a.jsonl: line {index + 1}"
    return Example(text=text, label=label, row=f"train:{index}", place=place)


def record(index: int = 0, **values: object) -> RawRow:
    return RawRow(f"a.jsonl: line {index + 1}", values)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("a", "b", "a"), "option 'a' is there twice."),
        (("Not spam", "notspam"), "option 'notspam' equals 'Not spam' without case,"),
        (("C", "C++"), "option 'C++' equals 'C' without case, punctuation and white space."),
        (("a", ""), "option '' is empty or only punctuation."),
        (("a", "?!"), "option '?!' is empty or only punctuation."),
        ((" a", "b"), "option ' a' has white space around it or a line break."),
        (("a\nb", "b"), "option 'a\\nb' has white space around it or a line break."),
        (
            ("caf\u00e9", "cafe\u0301"),
            "option 'cafe\u0301' looks like 'caf\u00e9': U+0065 U+0301 against U+00E9.",
        ),
        (("spam", "Spa\u200bm"), "option 'Spa\\u200bm' looks like 'spam': U+0053 U+200B against"),
        (
            ("\u2764", "\u2764\ufe0f"),
            "option '\u2764\ufe0f' looks like '\u2764': U+FE0F against nothing.",
        ),
        (("so good", "so\u00a0good"), "option 'so\\xa0good' equals 'so good' without case,"),
        (("a", "b\udc80"), "an option holds '\\udc80', half of a character"),
    ],
)
def test_options_that_exact_match_cannot_tell_apart_are_refused(options, expected):
    with pytest.raises(InputError) as caught:
        check_options(options, "stream.tasks[0].options")
    assert str(caught.value).startswith(f"stream.tasks[0].options: {expected}")


def test_a_label_that_is_no_option_is_named_with_its_line_and_the_nearest_option():
    rows = [row("a", "positive"), row("b", "postive", 1)]
    with pytest.raises(InputError) as caught:
        check_labels(rows, ("negative", "positive"), "labels.json")
    assert str(caught.value) == (
        "a.jsonl: line 2: label 'postive' is not among the options of labels.json:"
        " 'negative', 'positive'; did you mean 'positive'?"
    )


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("spam\u200b", "; it looks like 'spam': U+200B against nothing."),
        ("not\u00a0spam", "; it looks like 'not spam': U+00A0 against U+0020."),
        ("Spam", "; did you mean 'spam'?"),
        ("caf\u00e9", "."),
    ],
)
def test_a_label_that_only_looks_like_an_option_is_told_from_it_by_code_points(label, expected):
    with pytest.raises(InputError) as caught:
        check_labels([row("a", label)], ("spam", "not spam"), "labels.json")
    assert str(caught.value).endswith(f"labels.json: 'spam', 'not spam'{expected}")


def test_equal_texts_with_different_labels_are_counted():
    splits = {
        "train": [row("a", "yes"), row("a", "yes", 1), row("b", "yes", 2), row("c", "-", 3)],
        "test": [row("a", "no", 4), row("B", "no", 5), row("c", "no", 6)],
    }
    assert find_contradictions(splits, "fruit") == [
        "fruit: 3 rows have a text that another row has with another label, as train:0 ('yes') and"
        " train:4 ('no')."
    ]
    assert find_contradictions({"train": splits["train"]}, "fruit") == []


def test_rows_of_one_label_alone_are_said():
    same = [row("a", "yes"), row("b", "yes", 1), row("c", "-", 2)]
    assert find_sameness(same, "fruit") == [
        "fruit: all 2 labelled train rows have the label 'yes'."
    ]
    assert find_sameness([*same, row("d", "no", 3)], "fruit") == []
    assert find_sameness(same[:1], "fruit") == []


def test_any_label_is_right_for_free_text():
    check_labels([row("a", "whatever")], (), "a.jsonl")


def test_unlabelled_rows_are_dropped_and_counted():
    rows = [row("a"), row("b", "-", 1), row("c", "", 2)]
    assert drop_unlabelled(rows, keep_marked=False, where="a.jsonl") == ([rows[0]], 2)


def test_rows_marked_unlabelled_are_kept_on_request_and_pass_as_labels():
    rows = [row("a"), row("b", "-", 1)]
    assert drop_unlabelled(rows, keep_marked=True, where="a.jsonl") == (rows, 0)
    check_labels(rows, ("yes", "no"), "a.jsonl")


def test_an_empty_label_is_refused_where_unlabelled_rows_are_kept():
    with pytest.raises(InputError, match=r"a\.jsonl: line 2: no label"):
        drop_unlabelled([row("a"), row("b", "", 1)], keep_marked=True, where="a.jsonl")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [([], "a.jsonl: no rows."), ([row("a", "-")], "a.jsonl: none of its 1 rows has a label.")],
)
def test_an_empty_split_is_refused(rows, expected):
    with pytest.raises(InputError) as caught:
        drop_unlabelled(rows, keep_marked=False, where="a.jsonl")
    assert str(caught.value) == expected


def test_texts_shared_by_two_splits_are_counted_in_a_warning():
    splits = {
        "train": [row("One text."), row("two")],
        "dev": [row("three")],
        "test": [row("one  TEXT"), row("three"), row("four")],
    }
    assert find_overlap(splits, "fruit") == [
        "fruit: 1 of 3 test texts are in train as well.",
        "fruit: 1 of 3 test texts are in dev as well.",
    ]


def test_a_missing_column_is_named_with_the_setting_and_the_nearest_column():
    with pytest.raises(InputError) as caught:
        to_examples([record(text="a", label="b")], "train", ("txt", "label"), "stream.tasks[1]")
    assert str(caught.value) == (
        "stream.tasks[1].text: column 'txt' is not in a.jsonl: line 1; columns are:"
        " 'text', 'label'; did you mean 'text'?"
    )


def test_a_column_missing_from_a_later_row_is_named_by_that_line():
    with pytest.raises(InputError, match=r"\.label: column 'label' is not in a\.jsonl: line 2"):
        to_examples(
            [record(text="a", label="b"), record(1, text="a")], "train", ("text", "label"), "task"
        )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"text": " \n", "label": "b"}, "a.jsonl: line 1: text is empty."),
        ({"text": 3, "label": "b"}, "a.jsonl: line 1: text must be text, got 3 (int)."),
        ({"text": None, "label": "b"}, "a.jsonl: line 1: text must be text, got None (NoneType)."),
        ({"text": "a", "label": 0.5}, "a.jsonl: line 1: label must be text or a whole number, got"),
        ({"text": "a", "label": ["b"]}, "a.jsonl: line 1: label must be text or a whole number,"),
    ],
)
def test_a_value_that_is_not_text_is_named_by_its_line(values, expected):
    with pytest.raises(InputError) as caught:
        to_examples([record(**values)], "train", ("text", "label"), "task")
    assert str(caught.value).startswith(expected)


def test_prompt_and_completion_serve_where_text_and_label_are_absent():
    rows, used = to_examples([record(prompt="a", completion="b")], "dev", ("text", "label"), "task")
    assert [(r.text, r.label, r.row) for r in rows] == [("a", "b", "dev:0")]
    assert used == ("prompt", "completion")


def test_prompt_and_completion_do_not_serve_where_one_default_is_there():
    with pytest.raises(InputError, match=r"task\.label: column 'label' is not in"):
        to_examples(
            [record(prompt="a", completion="b", text="c")], "dev", ("text", "label"), "task"
        )


@pytest.mark.parametrize(
    ("value", "label"), [(3, "3"), (True, "True"), (" yes ", "yes"), (None, ""), ("", "")]
)
def test_labels_are_text_without_white_space_around(value, label):
    rows, _ = to_examples([record(text="a", label=value)], "train", ("text", "label"), "task")
    assert rows[0].label == label


def test_keys_drop_case_punctuation_and_white_space():
    assert answer_key(" Not-Spam! ") == "notspam"
    assert text_key("Will  you DIE?") == text_key("will you die") == "will you die"


def test_texts_of_punctuation_alone_stay_apart():
    assert text_key("?!") != text_key("...")
