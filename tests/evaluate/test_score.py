"""The scoring rule: lower case, no ASCII punctuation, single spaces, articles kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amlora.evaluate.score import is_match, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Positive", "positive"),
        (" very\tnegative \n", "very negative"),
        ("Sentence A.", "sentence a"),
        ("Sci/Tech", "scitech"),
        ("sci-fi", "scifi"),
        ("a  -  b", "a b"),
        ("the answer", "the answer"),
        ("!?.,;:'\"()[]{}<>@#$%^&*_+=|\\/~`-", ""),
        ("", ""),
        ("ÄRGER\u00a0heute", "ärger heute"),
        ("„gut“", "„gut“"),
    ],
)
def test_a_text_is_normalised_by_the_reference_rule(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("answer", "gold"), [("Negative.", "negative"), (" YES ", "yes"), ("Sci Tech", "Sci  Tech!")]
)
def test_case_punctuation_and_spacing_do_not_matter(answer: str, gold: str) -> None:
    assert is_match(answer, gold)


@pytest.mark.parametrize(
    ("answer", "gold"), [("negatives", "negative"), ("a cat", "cat"), ("", "no"), ("no no", "no")]
)
def test_any_other_difference_is_a_miss(answer: str, gold: str) -> None:
    assert not is_match(answer, gold)


@pytest.mark.parametrize(
    ("answer", "gold"), [("5", "-5"), ("15", "1.5"), ("!!!", ""), ("Yes", "yes"), ("a  b", "a b")]
)
def test_the_exact_rule_sees_what_the_references_does_not(answer: str, gold: str) -> None:
    assert is_match(answer, gold)
    assert not is_match(answer, gold, "exact")
    assert is_match(f" {gold}\n", gold, "exact")


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text())
def test_a_text_matches_itself_shouted_with_punctuation_added(text: str) -> None:
    assert is_match(f"  {text}. !", text)
