"""Texts of several skills answered in one call, and what is counted of them."""

import pytest

from amlora.mixture.manifest import TaskCard
from amlora.skills.answer import Shortcomings, answer, pick_card
from amlora.skills.load import open_skills
from refused import refusal
from tables import QUICK, learned, write_table

TEXTS = ("a very good film abcd", "the team won the game abcd", "a bad story abcd")


@pytest.fixture(scope="module")
def opened(tmp_path_factory, llama_folder):
    """A model with two skills, what they are, and their cards by name."""
    place = tmp_path_factory.mktemp("place")
    for name in ("film", "topic"):
        table = write_table(place, name)
        learned(place / "skills", llama_folder, name, table, settings=QUICK.replace(max_drop=100.0))
    backbone, skills = open_skills(place / "skills", device="cpu", precision="float32")
    return backbone, skills, {card.name: card for card in skills.tasks}


@pytest.mark.parametrize("choose", [False, True])
def test_texts_of_several_skills_in_one_call_are_answered_as_each_alone(opened, choose):
    backbone, skills, cards = opened
    given = [cards["film"], cards["topic"], cards["film"]]
    together, counts = answer(backbone, skills, TEXTS, given, choose=choose)
    alone = [
        answer(backbone, skills, [text], [card], choose=choose)[0][0]
        for text, card in zip(TEXTS, given, strict=True)
    ]
    for one, other in zip(together, alone, strict=True):
        assert one["answer"] == other["answer"] and one["stages"] == other["stages"]
    assert [each["task"] for each in together] == ["film", "topic", "film"]
    assert counts.texts == 3 and counts.lost.shortened == 0


def test_choosing_gives_the_likeliest_option_and_all_shares(opened):
    backbone, skills, cards = opened
    [found] = answer(backbone, skills, TEXTS[:1], [cards["film"]], choose=True)[0]
    assert sorted(found["shares"]) == ["Bad", "Good"]
    assert found["shares"][found["answer"]] == max(found["shares"].values())
    assert sum(found["shares"].values()) == pytest.approx(1, abs=1e-5)


def test_free_text_is_generated_also_where_options_are_chosen(opened):
    backbone, skills, cards = opened
    free = cards["film"].replace(name="free", options=())
    found, _ = answer(
        backbone, skills, TEXTS[:2], [free, cards["topic"]], choose=True, max_new_tokens=2
    )
    assert "ended" in found[0] and "shares" not in found[0] and "shares" in found[1]


def test_no_texts_are_answered_by_nothing(opened):
    backbone, skills, _ = opened
    assert answer(backbone, skills, [], []) == ([], Shortcomings())


def test_answers_that_had_not_ended_are_counted_over_calls(opened):
    backbone, skills, _ = opened
    counts = Shortcomings()
    for text in TEXTS:
        counts.add(answer(backbone, skills, [text], [None], max_new_tokens=1)[1])
    [line] = counts.lines(512)
    assert line == (
        "predict: 3 of 3 answers had not ended after 1 tokens; --max-new-tokens allows more."
    )


def test_with_one_skill_it_need_not_be_named():
    card = TaskCard(name="a", instruction="", options=())
    assert pick_card([card], None, "mine") is card
    assert refusal(pick_card, [card], "b", "mine").startswith("--task: mine has no task 'b'")
