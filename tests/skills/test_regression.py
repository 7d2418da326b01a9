"""What a new version changes: rows to answer, verdicts with known numbers, any two versions."""

import pytest

from amlora.errors import InputError
from amlora.records.skills import NO_SKILL, Change
from amlora.records.states import Reply, State, state_of
from amlora.skills.regression import Routes, astray_of, changes_of, check_same, to_answer
from made_skills import astray_rows, kept_rows, learned_of, state

OWN = [1.0] * 180 + [0.0] * 20  # 90 %


def own_routes(version: State) -> dict[str, dict[str, str]]:
    """Every kept row goes to its own skill."""
    return {skill: {row.row: skill for row in version.rows(skill)} for skill in version.learned}


def stolen(lost: int, gained: int = 0) -> State:
    """A version in which a newcomer answers rows of "billing"."""
    rows = {at: 0.0 for at in range(lost)} | {180 + at: 1.0 for at in range(gained)}
    return state({"billing": OWN, "refunds": [1.0] * 10}, astray_rows("billing", "refunds", rows))


def change_of(lost: int, gained: int = 0, max_drop: float = 2.0) -> Change:
    found = changes_of(state({"billing": OWN}), stolen(lost, gained), max_drop=max_drop)
    return next(each for each in found if each.skill == "billing")


def test_without_rows_astray_a_skill_is_identical_and_bounds_what_was_lost():
    found = change_of(0)
    assert (found.verdict, found.moved, found.changed, found.change) == ("identical", 0, 0, 0)
    assert found.before == found.after == pytest.approx(0.9)
    assert found.interval is not None and found.interval.low == pytest.approx(-0.0188, abs=1e-4)


def test_rows_that_move_without_another_answer_leave_a_skill_identical():
    after = state({"billing": OWN, "refunds": [1]}, astray_rows("billing", "refunds", {0: 1, 1: 1}))
    found = changes_of(state({"billing": OWN}), after, max_drop=2)[0]
    assert (found.verdict, found.moved, found.changed) == ("identical", 2, 0)
    assert found.lost_to == {"refunds": 2}


@pytest.mark.parametrize(
    ("lost", "gained", "max_drop", "verdict"),
    [
        (17, 2, 2, "worse"),  # -7.5 (-12.3 to -3.7)
        (5, 0, 2, "undecided"),  # -2.5 (-5.7 to -1.1)
        (2, 0, 2, "undecided"),  # -1.0 (-3.6 to +0.9)
        (2, 0, 5, "safe"),
        (1, 4, 2, "safe"),  # +1.5 (-1.4 to +4.7)
        (8, 0, 0, "worse"),
        (0, 1, 0, "undecided"),
    ],
)
def test_the_verdict_says_where_the_interval_lies(lost, gained, max_drop, verdict: str):
    found = change_of(lost, gained, max_drop)
    assert found.verdict == verdict and found.changed == lost + gained
    assert found.change == pytest.approx((gained - lost) / 200)


def test_an_undecided_change_says_its_power_and_the_rows_that_it_would_take():
    found = change_of(4, 2)  # 3 % of rows change
    assert found.power == pytest.approx(0.372, abs=0.001) and found.needed == 587
    assert change_of(17, 2).power is None and change_of(0, 1, 0).power is None


def test_changes_come_worst_first_and_newcomers_last():
    skills = {"a": OWN, "b": OWN, "c": OWN, "d": OWN}
    astray = [
        *astray_rows("b", "new", dict.fromkeys(range(3), 0.0)),
        *astray_rows("c", "new", dict.fromkeys(range(30), 0.0)),
        *astray_rows("d", "a", {180: 1.0}),
        *astray_rows("new", "a", {0: 0.0}),
    ]
    found = changes_of(state(skills), state({**skills, "new": [1, 1]}, astray), max_drop=2)
    assert [(each.skill, each.verdict) for each in found] == [
        *(("c", "worse"), ("b", "undecided"), ("d", "safe"), ("a", "identical"), ("new", "new"))
    ]


def test_a_newcomer_is_scored_with_its_own_rows_that_others_answer():
    after = state({"a": [1, 1, 1, 1]}, astray_rows("a", NO_SKILL, {3: 0}))
    (found,) = changes_of(None, after, max_drop=2)
    assert (found.verdict, found.after, found.moved, found.before) == ("new", 0.75, 1, None)
    assert found.lost_to == {NO_SKILL: 1} and found.interval is not None


def test_any_two_versions_can_be_compared_whichever_skills_they_have():
    first, second = state({"a": OWN, "old": [1, 0]}), state({"b": [1], "new": [1]})
    found = changes_of(first, second, max_drop=2, renamed={"a": "b"})
    assert {each.skill: each.verdict for each in found} == {
        "b": "undecided",  # its texts are other ones
        "new": "new",
        "old": "gone",
    }
    back = changes_of(stolen(17), state({"billing": OWN}), max_drop=2)
    assert [(each.skill, each.verdict, each.moved) for each in back] == [
        ("billing", "safe", 17),
        ("refunds", "gone", 0),
    ]
    assert back[0].change == pytest.approx(17 / 200) and back[0].lost_to == {"billing": 17}


def test_a_renamed_skill_is_the_same_skill():
    before, after = state({"a": OWN}), state({"a": OWN}).renamed({"a": "b"})
    (found,) = changes_of(before, after, max_drop=2, renamed={"a": "b"})
    assert (found.skill, found.verdict) == ("b", "identical")


def test_of_vectors_the_moves_are_known_and_no_scores():
    before, after = state({"a": 50, "b": [1]}), state({"a": 50, "b": [1]})
    assert changes_of(before, after, max_drop=2)[0].verdict == "identical"
    moved = state({"a": 50, "b": [1]}, astray_rows("a", "b", {3: 0, 4: 0}, vectors=True))
    found = changes_of(before, moved, max_drop=2)[0]
    assert (found.verdict, found.moved, found.kept) == ("undecided", 2, 50)
    assert found.changed is found.before is found.change is None
    assert changes_of(moved, moved, max_drop=2)[0].moved == 0


def test_without_anything_kept_nothing_is_told():
    found = changes_of(state({"a": 0}), state({"a": 0}), max_drop=2)[0]
    assert (found.verdict, found.kept) == ("undecided", 0)


def test_an_update_is_compared_on_the_rows_that_were_kept_before_and_after_it():
    old, new = kept_rows("a", [1, 1, 0, 0]), kept_rows("a", [1, 0, 1])
    before = state_of({"a": learned_of("a", digest="1")}, {"a": old}, [])
    after = state_of({"a": learned_of("a", digest="2")}, {"a": new}, [])
    (found,) = changes_of(before, after, max_drop=2)
    assert (found.kept, found.moved, found.changed, found.change) == (3, 0, 2, 0)


def test_graded_scores_that_fall_a_little_are_compared_by_their_means():
    before = state({"a": [0.5] * 200}, metric="f1")
    after = state(
        {"a": [0.5] * 200}, astray_rows("a", "b", dict.fromkeys(range(40), 0.3)), metric="f1"
    )
    found = changes_of(before, after, max_drop=2)[0]
    assert found.change == pytest.approx(-0.04) and found.verdict == "worse"


def test_rows_whose_route_changed_are_answered_and_a_sample_of_the_others():
    after = state({"a": [1] * 40, "b": [1] * 40, "c": 9})
    routes: Routes = {**own_routes(after), "c": {"0": "a"}}
    routes["a"]["test:3"] = "b"  # pyright: ignore[reportIndexIssue]
    asked = to_answer(routes, after.kept, state({"a": [1] * 40, "c": 9}), seed=0)
    assert [(ask.skill, ask.row.row, ask.by) for ask in asked if ask.known is None] == [
        ("a", "test:3", "b")
    ]
    sample = [ask for ask in asked if ask.known is not None]
    assert len(sample) == 16 and len({(ask.skill, ask.row.row) for ask in sample}) == 16
    assert sum(ask.skill == "b" for ask in sample) >= 4
    assert asked == to_answer(routes, after.kept, state({"a": [1] * 40, "c": 9}), seed=0)
    assert asked != to_answer(routes, after.kept, state({"a": [1] * 40, "c": 9}), seed=1)


def test_what_another_skill_answered_before_is_known_until_that_skill_learns_again():
    gone = astray_rows("a", "b", {0: 0})
    before = state({"a": [1], "b": [1]}, gone)
    routes = {"a": {"test:0": "b"}, "b": {"test:0": "b"}}

    def unknown(anew: tuple[str, ...] = ()) -> list[str]:
        asked = to_answer(routes, before.kept, before, seed=0, anew=anew)
        return [ask.skill for ask in asked if ask.known is None]

    assert unknown() == [] and unknown(("b",)) == ["a"]
    assert astray_of(routes, before.kept, before, [], []) == gone


def test_rows_astray_are_put_together_from_old_and_new_answers():
    before = state({"a": [1, 1, 1]}, astray_rows("a", NO_SKILL, {0: 0}))
    kept = state({"a": [1, 1, 1], "b": [1], "c": 2}).kept
    routes = {
        "a": {"test:0": NO_SKILL, "test:1": "b", "test:2": "a"},
        "b": {"test:0": "b"},
        "c": {"0": "c", "1": "b"},
    }
    asked = to_answer(routes, kept, before, seed=0)
    replies = [ask.known or Reply(ask.by, "yes", 1.0) for ask in asked]
    assert check_same(asked, replies) == (3, 0)
    found = astray_of(routes, kept, before, asked, replies)
    assert [(each.skill, each.row, each.to, each.score) for each in found] == [
        ("a", "test:0", NO_SKILL, 0.0),
        ("a", "test:1", "b", 1.0),
        ("c", "1", "b", None),
    ]


def test_an_answer_that_differs_though_its_route_does_not_is_an_error():
    before = state({"a": [1, 1]})
    asked = to_answer(own_routes(before), before.kept, before, seed=0)
    replies = [Reply("a", "no", 0.0) for _ in asked]
    with pytest.raises(InputError, match="'no' instead of 'yes', and 'a' still answers"):
        check_same(asked, replies)


def test_in_bfloat16_some_answers_may_hang_by_the_rounding_but_not_half_of_them():
    before = state({"a": [1] * 5})
    asked = to_answer(own_routes(before), before.kept, before, seed=0)
    other, same = Reply("a", "no", 0.0), Reply("a", "yes", 1.0)
    assert check_same(asked, [other] * 2 + [same] * 3, exact=False) == (3, 2)
    with pytest.raises(InputError, match="has another answer than before"):
        check_same(asked, [other] * 3 + [same] * 2, exact=False)


def test_of_many_skills_a_bounded_number_of_known_rows_is_asked():
    kept = {f"s{i}": kept_rows(f"s{i}", [1.0] * 6) for i in range(40)}
    routes = {name: {row.row: name for row in rows} for name, rows in kept.items()}
    asked = to_answer(routes, kept, None, seed=0)
    assert len(asked) == 64 and len({ask.skill for ask in asked}) > 20
