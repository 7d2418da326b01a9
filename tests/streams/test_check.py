"""Checks of options, labels and splits: what is refused, and what is counted in a warning."""

import pytest

from amlora.streams.check import (
    check_labels,
    check_options,
    drop_unlabelled,
    find_contradictions,
    find_overlap,
    find_sameness,
    find_unscored,
)
from amlora.streams.task import Example, Task
from refused import refusal


def row(text: str, label: str = "yes", index: int = 0) -> Example:
    place = f"a.jsonl: line {index + 1}"
    return Example(text=text, label=label, row=f"train:{index}", place=place)


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
    assert refusal(check_options, options, "t.options").startswith(f"t.options: {expected}")


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("not spm", "; did you mean 'not spam'?"),
        ("spam\u200b", "; it looks like 'spam': U+200B against nothing."),
        ("not\u00a0spam", "; it looks like 'not spam': U+00A0 against U+0020."),
        ("Spam", "; did you mean 'spam'?"),
        ("caf\u00e9", "."),
    ],
)
def test_a_label_that_is_no_option_is_named_with_its_line_and_the_nearest_option(label, expected):
    rows = [row("a", "spam"), row("b", label, 1)]
    assert refusal(check_labels, rows, ("spam", "not spam"), "labels.json") == (
        f"a.jsonl: line 2: label {label!r} is not among the options of labels.json:"
        f" 'spam', 'not spam'{expected}"
    )


def test_unlabelled_rows_are_dropped_and_counted_or_kept_on_request_and_pass_as_labels():
    rows = [row("a"), row("b", "-", 1), row("c", "", 2)]
    assert drop_unlabelled(rows, keep_marked=False, where="a.jsonl") == (rows[:1], 2)
    assert drop_unlabelled(rows[:2], keep_marked=True, where="a.jsonl") == (rows[:2], 0)
    check_labels(rows[:2], ("yes", "no"), "a.jsonl")
    check_labels([row("a", "whatever")], (), "a.jsonl")  # free text


KEPT = "a.jsonl: line 2: no label, and stream.drop_unlabelled is false."


@pytest.mark.parametrize(
    ("rows", "keep", "expected"),
    [
        ([], False, "a.jsonl: no rows."),
        ([row("a", "-")], False, "a.jsonl: none of its 1 rows has a label."),
        ([row("b", "", 1)], True, KEPT),
    ],
)
def test_a_split_without_labels_is_refused(rows, keep, expected):
    assert refusal(drop_unlabelled, rows, keep_marked=keep, where="a.jsonl") == expected


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
    told = ["fruit: all 2 labelled train rows have the label 'yes'."]
    assert find_sameness(same, "fruit") == told
    assert find_sameness([*same, row("d", "no", 3)], "fruit") == []
    assert find_sameness(same[:1], "fruit") == []


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


def task(*labels: str, options: tuple[str, ...] = ()) -> Task:
    rows = tuple(Example(text="a", label=label, row="train:0") for label in labels)
    return Task(name="t", instruction="", options=options, train=rows, dev=(), test=rows[:1])


@pytest.mark.parametrize("label", ["-5", "it is +3 degrees", "1.5", "1,5", ".5", "-.5", "!!!", "?"])
def test_numbers_with_signs_and_points_and_bare_punctuation_are_not_scored(label):
    (warning,) = find_unscored(task(label, "word"))
    assert warning.startswith(f"t: 2 of 3 answers, as {label!r}, have a sign or a point")
    assert find_unscored(task(label, options=(label, "7"))) == []  # told apart before


@pytest.mark.parametrize("label", ["5", "a-b", "2020-01-02", "well, yes.", "v2", "at 5."])
def test_other_answers_are(label):
    assert find_unscored(task(label, "word")) == []


def test_answers_that_punctuation_alone_tells_apart_are_counted():
    assert find_unscored(task("Good day", "good  DAY")) == []
    (warning,) = find_unscored(task("C", "C#", "c", "d"))
    assert warning.startswith("t: 4 of 5 answers, as 'C',")
