"""Answers that exact match by the reference's rule takes for others are counted."""

import pytest

from amlora.streams.check import find_unscored
from amlora.streams.task import Example, Task


def task(*labels: str, options: tuple[str, ...] = ()) -> Task:
    rows = tuple(Example(text="a", label=label, row="train:0") for label in labels)
    return Task(name="t", instruction="", options=options, train=rows, dev=(), test=rows[:1])


@pytest.mark.parametrize("label", ["-5", "it is +3 degrees", "1.5", "1,5", ".5", "-.5", "!!!", "?"])
def test_numbers_with_signs_and_points_and_bare_punctuation_are_counted(label):
    (warning,) = find_unscored(task(label, "word"))
    assert warning.startswith(f"t: 2 of 3 answers, as {label!r}, have a sign or a point")


@pytest.mark.parametrize("label", ["5", "a-b", "2020-01-02", "well, yes.", "v2", "at 5."])
def test_other_answers_are_not(label):
    assert find_unscored(task(label, "word")) == []


def test_answers_that_punctuation_alone_tells_apart_are_counted():
    assert find_unscored(task("Good day", "good  DAY")) == []
    (warning,) = find_unscored(task("C", "C#", "c", "d"))
    assert warning.startswith("t: 4 of 5 answers, as 'C',")


def test_options_were_told_apart_before():
    assert find_unscored(task("-5", options=("-5", "7"))) == []
