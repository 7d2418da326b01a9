import sys

import pytest

from amlora.errors import InputError
from amlora.skills.metric import choose_metric, majority_score, metric_of
from amlora.streams.task import Example, Task

SHORT = ["Paris", "Sputnik 1", "the Soviet Union and the United States of old"]
LONG = ["one two three four five six"] * 3


def task_of(answers: list[str], options: tuple[str, ...] = ()) -> Task:
    rows = tuple(
        Example(text=f"text {i}", label=answer, row=f"train:{i}")
        for i, answer in enumerate(answers)
    )
    return Task(name="t", instruction="", options=options, train=rows, dev=rows, test=rows)


@pytest.mark.parametrize(
    ("answers", "options", "expected"),
    [(LONG, ("yes", "no"), "exact"), (SHORT, (), "f1"), (LONG, (), "rouge-l")],
)
def test_the_metric_follows_from_options_and_the_median_answer(answers, options, expected):
    assert choose_metric(task_of(answers, options)) == expected


def test_a_named_metric_is_taken():
    assert choose_metric(task_of(SHORT), "rouge-l") == "rouge-l"
    assert choose_metric(task_of(LONG, ("yes", "no")), "loss") == "loss"


def test_a_metric_whose_library_is_missing_is_refused_before_anything_is_learned(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    assert choose_metric(task_of(SHORT)) == "f1"
    with pytest.raises(InputError, match="rouge-score"):
        choose_metric(task_of(LONG))


def test_each_metric_scores_an_answer_in_its_way():
    answer, gold = "new york city", "York, New York"
    scores = [metric_of(metric)(answer, gold) for metric in ("exact", "f1", "rouge-l")]
    assert scores == pytest.approx([0, 2 / 3, 2 / 3])
    assert metric_of("exact")("new york.", "New York") == 1
    with pytest.raises(ValueError, match="probabilities"):
        metric_of("loss")


def test_the_majority_is_the_train_rows_and_is_scored_on_the_others():
    train, scored = ["a b", "c", "a b"], ["a b", "a", "c", "c"]
    assert majority_score(train, scored, "exact") == 1 / 4
    assert majority_score(train, scored, "f1") == pytest.approx((1 + 2 / 3) / 4)
    assert majority_score(train, scored, "loss") == 0
