import importlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amlora.errors import InputError
from amlora.evaluate.text import rouge_l, token_f1

ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("Sputnik 1", "sputnik 1.", 1.0),
        ("the Soviet Union", "The Soviet Union and the United States.", 2 * 3 / (3 + 7)),
        ("the the the", "the cat", 2 * 1 / (3 + 2)),  # a word counts as often as both have it
        ("b a", "a b", 1.0),
        ("Paris", "London", 0.0),
        ("", "London", 0.0),
        ("London", "?", 0.0),
        ("", "?", 1.0),
    ],
)
def test_f1_of_words_is_what_counting_by_hand_gives(answer, gold, expected):
    assert token_f1(answer, gold) == pytest.approx(expected)


def test_f1_keeps_articles_unlike_squads_own():
    assert token_f1("a gyroscope", "gyroscope") == pytest.approx(2 / 3)


@given(ASCII, ASCII)
def test_f1_is_symmetric_and_between_0_and_1(answer, gold):
    assert 0 <= token_f1(answer, gold) == token_f1(gold, answer) <= 1
    assert token_f1(gold, gold) == 1


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        # Lin 2004, section 3.1: "police kill the gunman", "the gunman kill police".
        ("police kill the gunman", "police killed the gunman", 3 / 4),
        ("the gunman kill police", "police killed the gunman", 2 / 4),
        ("dollar gains", "Dollar gains on Greenspan speech", 2 * 2 / (2 + 5)),
        ("Zürich wins", "Zürich wins", 1.0),
        ("рост цен", "рост цен", 1.0),
        ("rich wins", "Zürich wins", 1 / 2),
        ("", "Zürich", 0.0),
    ],
)
def test_rouge_l_is_that_of_the_longest_common_subsequence(answer, gold, expected):
    assert rouge_l(answer, gold) == pytest.approx(expected)


@given(ASCII, ASCII)
def test_rouge_l_of_ascii_is_the_librarys_own(answer, gold):
    library = importlib.import_module("rouge_score.rouge_scorer")
    theirs = library.RougeScorer(["rougeL"]).score(gold, answer)["rougeL"].fmeasure
    assert rouge_l(answer, gold) == theirs


def test_a_missing_library_is_one_line_that_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(InputError, match=r"pip install 'amlora\[text\]'"):
        rouge_l("a", "a")
