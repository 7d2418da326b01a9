"""The pass must decide every row as greedy generation at batch one and the match rule do."""

import random
from dataclasses import replace
from typing import Literal, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amlora.engine.answer import Counts
from amlora.engine.batch import length_batches
from amlora.engine.encode import encode_rows
from amlora.engine.exact import measure_margin, score_rows
from amlora.engine.load import load_backbone
from amlora.engine.settings import EvaluateSettings, ModelSettings
from amlora.evaluate.score import Rule
from amlora.streams.task import Example, Task
from tiny import learn

LIMIT = 5
OPTION_SETS = {
    "plain": ("Good", "Bad"),
    "prefixes": ("neg", "negative", "very", "very negative", "very negative indeed"),
    "case and marks": ("TRUE", "Not so!", "U.S.A.", "a-b c", "(b)"),
    "other scripts": ("ΣΟΦΟΣ", "Éa", "好的", "naïve"),
}
SETS = pytest.mark.parametrize("options", OPTION_SETS.values(), ids=OPTION_SETS.keys())


def backbone_of(folder, precision: Literal["float32", "bfloat16"] = "float32", frozen=True):
    settings = ModelSettings(name=str(folder), precision=precision, max_tokens=96)
    return load_backbone(settings, frozen=frozen)


def rows_of(backbone, options, count=8, seed=0):
    draw = random.Random(seed)
    words = ["good", "bad", "film", "market", "team", "the", "won", "fell", "é", "war"]
    examples = tuple(
        Example(
            text=" ".join(draw.choices(words, k=draw.randrange(1, 12))),
            label=options[i % len(options)],
            row=f"test:{i}",
        )
        for i in range(count)
    )
    task = Task(name="t", instruction="", options=tuple(options), train=(), dev=(), test=examples)
    return encode_rows(backbone, task, examples, prefix="off", form="full")[0]


def both(backbone, rows, rule: Rule = "reference", **changed):
    given = {"tokens_per_batch": 200, "max_new_tokens": LIMIT, "rule": rule, **changed}
    passed, counts = score_rows(backbone, rows, EvaluateSettings(**given))
    how = EvaluateSettings(method="generate", max_new_tokens=LIMIT, rule=rule)
    reference, generated = score_rows(backbone, rows, how)
    assert generated == Counts(undecided=len(rows))
    assert [answer.row for answer in passed] == [row.row for row in rows]
    return passed, reference, counts


def hits(answers):
    return [answer.hit for answer in answers]


@SETS
def test_decisions_equal_generation_before_and_after_training(any_folder, options):
    backbone = backbone_of(any_folder)
    rows = rows_of(backbone, options)
    for steps in (0, 40):
        learn(backbone, rows[:6], steps=steps)
        for rule in get_args(Rule):
            passed, reference, counts = both(backbone, rows, rule)
            assert hits(passed) == hits(reference)
            assert counts.rows == len(rows)
    assert counts.hit > 0


def test_the_exact_rule_tells_what_the_references_does_not(trained):
    """An answer that was learned without its point matches a gold that has one, or does not."""
    backbone, rows = trained
    pointed = [replace(row, gold=f"{row.gold.upper()}.") for row in rows]
    loose, _, _ = both(backbone, pointed)
    strict, reference, _ = both(backbone, pointed, "exact")
    assert sum(hits(loose)) >= 4
    assert hits(strict) == hits(reference) == [False] * len(rows)


@settings(max_examples=4, deadline=None)
@given(
    options=st.lists(
        st.text("abAB Σé好.-7", min_size=1, max_size=9).filter(str.strip), min_size=1, max_size=5
    ),
    steps=st.sampled_from([0, 20]),
)
def test_decisions_equal_generation_for_any_options(llama_folder, t5_folder, options, steps):
    for folder in (llama_folder, t5_folder):
        backbone = backbone_of(folder)
        rows = rows_of(backbone, options, count=4)
        learn(backbone, rows[:3], steps=steps, rate=1e-2)
        for rule in get_args(Rule):
            passed, reference, _ = both(backbone, rows, rule)
            assert hits(passed) == hits(reference)


@pytest.fixture(scope="module")
def trained(any_folder):
    backbone = backbone_of(any_folder)
    rows = rows_of(backbone, OPTION_SETS["prefixes"])
    learn(backbone, rows[:6], steps=50)
    return backbone, rows


def test_trained_rows_hardly_need_generation(trained):
    backbone, rows = trained
    _, counts = score_rows(
        backbone, rows, EvaluateSettings(tokens_per_batch=200, max_new_tokens=LIMIT)
    )
    assert counts.hit >= 4
    assert counts.decoded <= 0.2


@pytest.mark.parametrize("tokens", [1, 70, 100_000])
def test_how_rows_are_batched_decides_nothing(trained, tokens):
    backbone, rows = trained
    _, reference, _ = both(backbone, rows)
    passed, _ = score_rows(
        backbone, rows, EvaluateSettings(tokens_per_batch=tokens, max_new_tokens=LIMIT)
    )
    assert hits(passed) == hits(reference)


def test_rows_under_the_margin_are_generated(trained):
    backbone, rows = trained
    answers, counts = score_rows(
        backbone, rows, EvaluateSettings(tokens_per_batch=200, max_new_tokens=LIMIT, margin=1e9)
    )
    assert counts == Counts(low_margin=len(rows))
    assert all(answer.how == "decoded" and answer.text is not None for answer in answers)


def test_logits_that_are_no_numbers_are_never_trusted(any_folder):
    backbone = backbone_of(any_folder)
    rows = rows_of(backbone, ("Good", "Bad"), count=2)
    with torch.no_grad():
        next(backbone.model.parameters()).fill_(float("nan"))
    _, counts = score_rows(
        backbone, rows, EvaluateSettings(tokens_per_batch=200, max_new_tokens=2, margin=0.0)
    )
    assert counts == Counts(low_margin=2)


def test_the_measured_margin_is_rounding_and_not_more(trained):
    backbone, rows = trained
    assert 0 < measure_margin(backbone, rows) < 1e-2


def test_the_margin_is_never_under_the_rounding_of_the_precision(any_folder):
    backbone = backbone_of(any_folder, "bfloat16")
    rows = rows_of(backbone, ("Good", "Bad"), count=4)
    assert measure_margin(backbone, rows) > 10 * measure_margin(backbone_of(any_folder), rows)


def test_the_model_is_left_in_training_mode_if_it_was(trained):
    backbone, rows = trained
    backbone.model.train()
    score_rows(backbone, rows[:3], EvaluateSettings(tokens_per_batch=200, max_new_tokens=LIMIT))
    assert backbone.model.training
    backbone.model.eval()


@pytest.mark.parametrize("frozen", [True, False])
def test_bfloat16_gives_nearly_the_same_score(trained, any_folder, frozen):
    ours, rows = trained
    low = backbone_of(any_folder, "bfloat16", frozen)
    low.model.load_state_dict(ours.model.state_dict())
    passed, reference, _ = both(low, rows)
    differing = sum(a != b for a, b in zip(hits(passed), hits(reference), strict=True))
    assert differing <= 1
    right = [sum(each.hit for each in answers) for answers in (passed, both(ours, rows)[0])]
    assert abs(right[0] - right[1]) <= 0.2 * len(rows)


def test_packs_hold_every_row_once_and_keep_to_the_budget(trained):
    _, rows = trained
    made = length_batches(rows, 120)
    assert sorted(i for pack in made for i in pack) == list(range(len(rows)))
    for pack in made:
        lengths = [len(rows[i].prompt_ids) + len(rows[i].answer_ids) for i in pack]
        assert len(pack) == 1 or max(lengths) * len(pack) <= 120


def test_no_rows_give_no_answers(trained):
    backbone, _ = trained
    assert score_rows(backbone, [], EvaluateSettings(tokens_per_batch=9, max_new_tokens=9)) == (
        [],
        Counts(),
    )
