"""The gate: what it refuses, in which words, and what it says it cannot tell."""

from amlora.skills.gate import judge
from amlora.skills.regression import changes_of
from made_skills import astray_rows, learned_of, state

OWN = [1.0] * 180 + [0.0] * 20


def changes(lost: int, kept: int = 200):
    """A newcomer takes rows of "billing" and answers them wrongly."""
    own = [1.0] * (kept - 20) + [0.0] * 20
    astray = astray_rows("billing", "refunds", dict.fromkeys(range(lost), 0.0))
    after = state({"billing": own, "refunds": OWN}, astray)
    return changes_of(state({"billing": own}), after, max_drop=2)


def test_a_skill_that_is_shown_to_lose_more_than_the_limit_stops_a_version():
    gate = judge(changes(17), learned_of("refunds"), 2)
    assert not gate.passed and gate.refused == ("billing lost more than 2.0 points",)
    assert gate.undecided == ()


def test_a_version_that_changes_no_answer_passes_without_a_word():
    gate = judge(changes(0), learned_of("refunds"), 2)
    assert (gate.passed, gate.refused, gate.undecided, gate.max_drop) == (True, (), (), 2)


def test_what_is_not_decided_passes_and_is_said_with_power_and_rows():
    gate = judge(changes(3), learned_of("refunds"), 2)
    assert gate.passed and gate.undecided == (
        "billing: -1.5 points (-4.3 to +0.4) may be more than 2.0 lost; 200 kept rows show a loss"
        " of 2.0 with a chance of 52 %, 391 would with 80 %",
    )


def test_a_limit_of_zero_has_no_power_to_speak_of():
    own = state({"a": OWN})
    after = state({"a": OWN}, astray_rows("a", "none", {0: 0.0}))
    (said,) = judge(changes_of(own, after, max_drop=0), None, 0).undecided
    assert said == "a: -0.5 points (-2.8 to +1.4) may be more than 0.0 lost"


def test_kept_vectors_and_nothing_kept_are_said():
    before = state({"a": 50, "b": 0})
    after = state({"a": 50, "b": 0}, astray_rows("a", "b", {1: 0}, vectors=True))
    gate = judge(changes_of(before, after, max_drop=2), None, 2)
    assert gate.passed and sorted(gate.undecided) == [
        "a: 1 of 50 prompts are answered by another skill, and how is not known, as their texts"
        " were not kept",
        "b: no rows were kept to compare, so a loss would not be seen",
    ]


def test_a_newcomer_must_be_above_the_model_and_the_most_frequent_answer():
    news = changes_of(None, state({"a": OWN}), max_drop=2)
    assert judge(news, learned_of("a", zero_shot=0.3), 2).passed
    gate = judge(news, learned_of("a", zero_shot=0.9, majority=0.95), 2)
    assert gate.refused == (
        "a is no better than the model before learning, 90.0 against 90.0 %",
        "a is no better than the most frequent answer, 90.0 against 95.0 %",
    )


def test_a_newcomer_that_is_not_shown_to_be_better_passes_and_is_said():
    gate = judge(changes_of(None, state({"a": OWN}), max_drop=2), learned_of("a", majority=0.87), 2)
    assert gate.passed and gate.undecided == (
        "a is not shown to be better than the most frequent answer, 90.0 against 87.0 %",
    )


def test_a_newcomer_whose_prompts_go_to_others_is_judged_by_what_they_answer():
    astray = astray_rows("a", "none", dict.fromkeys(range(150), 0.0))
    news = changes_of(None, state({"a": OWN}, astray), max_drop=2)
    assert judge(news, learned_of("a"), 2).refused[0].endswith("15.0 against 30.0 %")


def test_of_a_newcomer_that_keeps_no_texts_the_score_of_the_skill_counts():
    news = changes_of(None, state({"a": 0}), max_drop=2)
    assert judge(news, learned_of("a"), 2).passed
    assert not judge(news, learned_of("a", 0.2), 2).passed
