"""What a version answers to kept rows, and what it must not say."""

import pytest

from amlora.errors import InputError
from amlora.records.skills import NO_SKILL, Astray
from amlora.records.states import flips, shared, state_of
from made_skills import astray_rows, kept_rows, learned_of, state


def test_a_kept_row_is_answered_by_its_own_skill_unless_it_goes_astray():
    found = state({"a": [1, 0, 1]}, astray_rows("a", "b", {2: 0}))
    assert [reply.by for reply in found.replies("a")] == ["a", "a", "b"]
    assert [reply.answer for reply in found.replies("a")] == ["yes", "no", "b says"]
    assert found.score("a") == pytest.approx(1 / 3)


def test_a_skill_that_keeps_no_text_has_a_size_and_no_score():
    found = state({"a": 7}, astray_rows("a", "b", {2: 0}, vectors=True))
    assert (found.size("a"), found.rows("a"), found.score("a")) == (7, (), None)


def test_flips_are_rows_with_another_answer_the_largest_loss_first():
    before = state({"a": [1, 1, 0, 1], "b": [1]})
    after = state(
        {"a": [1, 1, 0, 1], "b": [1]},
        [*astray_rows("a", "b", {0: 1, 2: 1}), *astray_rows("a", NO_SKILL, {3: 0})],
    )
    found = flips(before, after, "a")
    assert [(flip.row.row, flip.before.by, flip.after.by) for flip in found] == [
        ("test:3", "a", NO_SKILL),
        ("test:2", "a", "b"),
    ]
    assert [flip.after.score for flip in found] == [0, 1]  # row 0 moved and says the same


def test_renaming_changes_every_name_and_no_answer():
    before = state({"a": [1, 0], "b": [1]}, astray_rows("a", "b", {1: 1}))
    found = before.renamed({"a": "x", "b": "y"})
    assert list(found.kept) == ["x", "y"] and found.astray["x"]["test:1"].skill == "x"
    assert [reply.by for reply in found.replies("x")] == ["x", "y"]
    assert [reply.answer for reply in found.replies("x")] == [
        reply.answer for reply in before.replies("a")
    ]


def test_of_two_keepings_of_a_task_only_equal_texts_are_shared():
    rows = kept_rows("a", [1, 1, 1])
    changed = (rows[0], rows[1].model_copy(update={"text": "another"}), rows[2])
    before = state_of({"a": learned_of("a")}, {"a": rows}, [])
    after = state_of({"a": learned_of("a", 0.95)}, {"a": changed[:2]}, [])
    assert [row.row for row, *_ in shared(before, after, "a")] == ["test:0"]
    other = state_of({"a": learned_of("a", metric="f1")}, {"a": rows}, [])
    assert shared(before, other, "a") == []


@pytest.mark.parametrize(
    ("astray", "says"),
    [
        (astray_rows("c", "b", {0: 0}), "row 'test:0' of skill 'c' is said to go astray, and is"),
        (astray_rows("a", "b", {9: 0}), "row 'test:9' of skill 'a' is said to go astray, and is"),
        (astray_rows("a", "a", {0: 0}), "to go astray twice, or to its own skill"),
        (astray_rows("a", "b", {0: 0}) * 2, "to go astray twice, or to its own skill"),
        ([Astray(skill="a", row="test:0", to="b")], "went to 'b', and its score there is missing"),
    ],
)
def test_rows_that_cannot_have_gone_astray_are_refused(astray, says: str):
    with pytest.raises(InputError, match=says):
        state({"a": [1, 0], "b": [1]}, astray)


def test_a_row_that_is_kept_twice_and_a_skill_without_kept_rows_are_refused():
    with pytest.raises(InputError, match="'a' keeps a row twice"):
        state_of({"a": learned_of("a")}, {"a": kept_rows("a", [1]) * 2}, [])
    with pytest.raises(InputError, match="'b' has not both"):
        state_of({"a": learned_of("a"), "b": learned_of("b")}, {"a": 0}, [])
