"""One teacher-forced pass must never claim what greedy generation would not do."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amlora.engine.answer import judge, leaves_gold
from amlora.evaluate.score import Rule, is_match

END, OTHER_END, PAD = 0, 1, 2
PIECES = [b"", b"", b"", b"G", b"o", b"d", b" ", b"go", b"od", b".", b"\n", b"Good", b" Good"]
PIECES += [b"-", b"day", b" day", b"\xc3", b"\xa9", *(letter.encode() for letter in "éÉΣ好")]
ENDS = frozenset({END, OTHER_END})


def decode(ids):
    return b"".join(PIECES[i] for i in ids).decode(errors="replace")


def spell(*pieces):
    return [PIECES.index(piece) for piece in pieces] + [END]


def outcome(best, answer, gold, limit=50, rule: Rule = "reference"):
    verdict = judge(
        best, answer, gold, end_ids=ENDS, max_new_tokens=limit, decode=decode, rule=rule
    )
    return verdict.outcome, verdict.positions


def test_gold_to_the_end_token_is_a_hit():
    answer = spell(b"G", b"od")
    assert outcome(answer, answer, "God") == ("hit", 3)


def test_any_end_token_of_the_model_ends_the_answer():
    answer = spell(b"Good")
    assert outcome([answer[0], OTHER_END], answer, "Good") == ("hit", 2)


def test_an_early_end_is_a_hit_if_only_punctuation_is_missing():
    assert outcome([*spell(b"Good"), 5], spell(b"Good", b"."), "Good.") == ("hit", 2)


def test_by_the_exact_rule_only_white_space_around_an_answer_may_be_missing():
    good = spell(b"Good")
    assert outcome([*good, 5], spell(b"Good", b"."), "Good.", rule="exact") == ("miss", 2)
    assert outcome([*good, 5], spell(b"Good", b"\n"), "Good", rule="exact") == ("hit", 2)
    assert outcome([good[0], PIECES.index(b".")], good, "Good", rule="exact") == ("miss", 2)
    assert outcome([good[0], PIECES.index(b"\n")], good, "Good", rule="exact")[0] == "undecided"
    assert outcome([PIECES.index(b"go"), 5], good, "Good", rule="exact") == ("miss", 1)


def test_an_early_end_is_a_miss_if_text_is_missing():
    assert outcome([*spell(b"Good"), 5], spell(b"Good", b" day"), "Good day") == ("miss", 2)


def test_other_letters_are_a_miss_and_later_positions_do_not_count():
    answer = spell(b"Good", b" day")
    assert outcome([PIECES.index(b"d"), 5, 5], answer, "Good day") == ("miss", 1)


def test_the_same_text_in_other_tokens_is_undecided():
    assert outcome([PIECES.index(b"go"), 5], spell(b"Good"), "Good") == ("undecided", 1)


def test_going_on_after_the_gold_text_is_a_miss():
    assert (
        outcome([*spell(b"Good")[:1], PIECES.index(b" day")], spell(b"Good"), "Good")[0] == "miss"
    )


def test_going_on_with_punctuation_or_an_unfinished_character_is_undecided():
    good = PIECES.index(b"Good")
    assert outcome([good, PIECES.index(b".")], spell(b"Good"), "Good")[0] == "undecided"
    assert outcome([good, PIECES.index(b"\xc3")], spell(b"Good"), "Good")[0] == "undecided"


def test_an_answer_longer_than_the_limit_is_undecided():
    answer = spell(b"G", b"o", b"od")
    assert outcome(answer, answer, "Good", limit=3) == ("undecided", 3)
    assert outcome(answer, answer, "Good", limit=4) == ("hit", 4)


@pytest.mark.parametrize(("text", "gold"), [("Σ", "world"), ("É", "e"), ("wor\ufffd", "cat")])
def test_text_whose_lower_case_may_still_change_proves_nothing(text, gold):
    assert not leaves_gold(text, gold)


def test_letters_without_case_prove_a_miss():
    assert leaves_gold("好", "坏")


@settings(max_examples=600, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(2, len(PIECES) - 1), max_size=4),
    st.integers(1, 6),
    st.floats(0, 1),
    st.sampled_from(["reference", "exact"]),
)
def test_what_is_decided_is_what_greedy_generation_gives(seed, gold_ids, limit, follows, rule):
    """The model is a random function of the ids so far that follows the gold path now and then."""
    answer = [*gold_ids, END]

    def best_after(ids):
        draw = random.Random(f"{seed} {ids}")
        if ids == answer[: len(ids)] and len(ids) < len(answer) and draw.random() < follows:
            return answer[len(ids)]
        return draw.randrange(len(PIECES))

    generated = []
    while len(generated) < limit and (token := best_after(generated)) not in ENDS:
        generated.append(token)
    gold = decode(gold_ids)
    best = [best_after(answer[:i]) for i in range(len(answer))]
    decided, _ = outcome(best, answer, gold, limit, rule)
    if decided != "undecided":
        assert (decided == "hit") == is_match(decode(generated), gold, rule)
