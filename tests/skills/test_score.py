"""Scores of rows by every metric, against generation at batch one and token by token losses."""

import math
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amlora.engine.encode import decode, encode_rows
from amlora.engine.generate import generate_each
from amlora.engine.likelihood import answer_likelihoods
from amlora.methods.base import Stage
from amlora.mixture.route import only_stage
from amlora.records.skills import Metric
from amlora.skills.metric import metric_of
from amlora.skills.score import Scored, mean_score, room_for, score_rows
from amlora.streams.task import Example, Task
from methods.learning import learn, make

LIMIT = 12
ANSWERS = {
    "mood": ("Good", "Bad.", "very negative", "Good day"),
    "news": ("the team won", "the market fell today", "a bad film", "war"),
}
METRICS: tuple[Metric, ...] = get_args(Metric)


def task_of(name: str) -> Task:
    answers, size = ANSWERS[name], len(ANSWERS[name])
    words = ("film", "team", "story", "actors and the paragraph", "game")
    rows = tuple(
        Example(text=f"{words[i % 5]} {i % size} {name}", label=answers[i % size], row=f"test:{i}")
        for i in range(12)
    )
    return Task(name=name, instruction=f"The {name}?", options=(), train=rows, dev=(), test=rows)


@pytest.fixture(scope="module")
def learned(any_folder):
    """A model that has half learned two tasks, and their rows with routes; the last go astray."""
    method: Any = make(any_folder, "anchored_lora", reject=0.2)
    rows = []
    for index, task in enumerate(map(task_of, ANSWERS)):
        own, _ = encode_rows(method.backbone, task, task.test, prefix="off", form="full")
        learn(method, Stage(index, task.name, own[:9], 60), lr=3e-2)
        rows += own
    odd = Task(name="odd", instruction="", options=(), train=(), dev=(), test=())
    texts = ("1 2 3", "war war war war war war")
    examples = [Example(text=text, label="Good", row=f"test:{text[0]}") for text in texts]
    rows += encode_rows(method.backbone, odd, examples, prefix="off", form="full")[0]
    routed = method.router.routed(rows)
    assert {only_stage(row.route) for row in routed} >= {1, 2}
    return method.backbone, routed


@pytest.fixture(scope="module")
def alone(learned):
    """Each row's answer as generation at batch one gives it."""
    backbone, rows = learned
    prompts, routes = [row.prompt_ids for row in rows], [row.route for row in rows]
    ids = generate_each(backbone, prompts, max_new_tokens=LIMIT, routes=routes)
    return [decode(backbone, each).strip() for each in ids]


def scores(backbone, rows, metric: Metric, *, texts=False, tokens=400) -> list[Scored]:
    return score_rows(
        backbone, rows, metric, max_new_tokens=LIMIT, tokens_per_batch=tokens, texts=texts
    )


@pytest.mark.parametrize("metric", ["exact", "f1", "rouge-l"])
def test_answers_and_scores_are_those_of_generation_at_batch_one(learned, alone, metric):
    backbone, rows = learned
    scored = scores(backbone, rows, metric, texts=True)
    measure = metric_of(metric)
    assert [each.answer for each in scored] == alone
    assert [each.score for each in scored] == [
        measure(answer, row.gold) for answer, row in zip(alone, rows, strict=True)
    ]
    assert 0 < mean_score(scored) < 1


def test_exact_scores_are_the_same_without_texts(learned):
    backbone, rows = learned
    with_texts, without = (scores(backbone, rows, "exact", texts=t) for t in (True, False))
    assert [each.score for each in without] == [each.score for each in with_texts]
    assert {each.answer for each in without} == {None}


@pytest.mark.parametrize("metric", METRICS)
def test_losses_are_the_mean_over_the_right_answers_tokens(learned, metric):
    backbone, rows = learned
    found = answer_likelihoods(backbone, rows, 1)
    expected = [-sum(each.logs) / len(each.logs) for each in found]
    scored = scores(backbone, rows, metric)
    assert [each.loss for each in scored] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("texts", [False, True])
def test_by_loss_the_score_is_the_geometric_mean_of_probabilities(learned, texts):
    backbone, rows = learned
    scored = scores(backbone, rows, "loss", texts=texts)
    assert [each.score for each in scored] == [math.exp(-each.loss) for each in scored]
    assert {each.answer for each in scored} == {None}


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_answers_do_not_depend_on_the_rows_that_are_scored_with_them(learned, alone, data):
    backbone, rows = learned
    places = data.draw(st.permutations(range(len(rows))))[: data.draw(st.integers(1, len(rows)))]
    tokens = data.draw(st.sampled_from([1, 100, 1000]))
    every = scores(backbone, rows, "f1")
    some = scores(backbone, [rows[i] for i in places], "f1", tokens=tokens)
    assert [each.answer for each in some] == [alone[i] for i in places]
    assert [each.score for each in some] == [every[i].score for i in places]
    losses = [every[i].loss for i in places]
    assert [each.loss for each in some] == pytest.approx(losses, abs=1e-5)


def test_no_rows_have_no_scores(learned):
    for metric in METRICS:
        assert scores(learned[0], [], metric) == []


def test_an_answer_has_half_as_much_room_again_as_nearly_all_right_ones_need(learned):
    _, rows = learned
    usual = max(len(row.answer_ids) for row in rows)
    assert room_for(rows) == math.ceil(1.5 * usual)
    assert room_for(rows, least=99) == 99
    assert room_for(rows * 100) == room_for(rows)
