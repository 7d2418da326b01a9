"""What `learn`, `diff` and `versions` say of a skills folder, word by word."""

import pytest

from amlora.records.folder import Folder, Version
from amlora.records.skills import NO_SKILL
from amlora.report.format import MISSING
from amlora.report.skills import (
    diff_lines,
    learn_lines,
    score_text,
    shortened,
    versions_lines,
)
from amlora.skills.regression import changes_of
from made_skills import OWN, astray_rows, helpdesk, state, version_of


def folder_of(*versions: Version, name: str = "helpdesk") -> Folder:
    return Folder(name=name, base="tiny", versions=versions)


def test_a_first_skill_is_said_with_its_interval():
    version = version_of(1, None, state({"billing": OWN}), "billing", in_use=True)
    assert learn_lines(folder_of(version), version) == [
        "billing 90.0 % (85.0 to 95.0)",
        "64 of 64 general prompts go to the base model",
        "published version 1",
    ]


def test_a_refused_version_shows_the_loss_the_flipped_rows_and_what_comes_next():
    folder = helpdesk()
    assert learn_lines(folder, folder.version(3)) == [
        "refunds 90.0 % (85.0 to 95.0)",
        "billing 90.0 -> 83.0   -7.0 (-11.6 to -3.6)   16 of 200 answers changed, 16 prompts now go"
        " to refunds",
        *(f'    "billing text {at}"   billing -> refunds   right -> wrong' for at in range(5)),
        "    and 11 more",
        "spam: no answer of 10 changed; a loss beyond 27.8 points is ruled out",
        "16 rows whose route did not change: answered once more, all identical",
        "64 of 64 general prompts go to the base model, as many as before",
        "REFUSED: billing lost more than 2.0 points. Candidate 3 is kept; version 2 stays in use.",
        "next: amlora report helpdesk --version 3 | amlora publish helpdesk 3 --force",
    ]


def test_a_forced_version_says_what_it_was_refused_for():
    folder = helpdesk(forced=True)
    said = learn_lines(folder, folder.version(3))[-1]
    assert said == "published version 3 although billing lost more than 2.0 points"


def test_a_newcomers_own_prompts_that_go_elsewhere_are_said():
    astray = astray_rows("b", "a", {0: 0, 1: 1}) + astray_rows("b", NO_SKILL, {2: 0})
    first, second = state({"a": OWN}), state({"a": OWN, "b": OWN}, astray)
    version = version_of(2, first, second, "b", in_use=True)
    said = learn_lines(folder_of(version_of(1, None, first, "a"), version), version)[0]
    assert said == (
        "b 90.0 % (85.0 to 95.0), but 3 of its 200 prompts go to a (2), no skill (1); 89.0 % with"
        " them"
    )


def test_what_is_undecided_is_said_with_its_power():
    first = state({"a": OWN})
    second = state({"a": OWN, "b": OWN}, astray_rows("a", "b", {0: 0, 1: 0, 2: 0}))
    version = version_of(2, first, second, "b", in_use=True)
    said = learn_lines(folder_of(version_of(1, None, first, "a"), version), version)
    assert said[-2] == (
        "undecided: a: -1.5 points (-4.3 to +0.4) may be more than 2.0 lost; 200 kept rows show a"
        " loss of 2.0 with a chance of 52 %, 391 would with 80 %"
    )
    assert said[-1] == "published version 2"


def test_many_changed_skills_are_cut_short_and_many_unchanged_are_counted():
    names = [f"s{at}" for at in range(20)]
    first = state({name: OWN for name in names})
    astray = [row for name in names[:14] for row in astray_rows(name, "new", {0: 0})]
    second = state({**{name: OWN for name in names}, "new": OWN}, astray)
    version = version_of(2, first, second, "new", in_use=True, max_drop=5)
    said = learn_lines(folder_of(version_of(1, None, first, "s0"), version), version)
    assert "2 more skills, by -0.5 to -0.5 points" in said
    assert "6 other skills: no answer of 200 changed; a loss beyond 1.9 points is ruled out" in said


def test_small_losses_that_add_up_are_said():
    own = state({"a": OWN})
    versions, before = [version_of(1, None, own, "a")], own
    for number in range(2, 5):
        taken = astray_rows("a", "b", dict.fromkeys(range(2 * number - 2), 0.0))
        now = state({"a": OWN, "b": OWN}, taken)
        versions.append(version_of(number, before, now, "b", did="update", in_use=number == 4))
        before = now
    said = learn_lines(folder_of(*versions), versions[-1])
    assert "a has lost 3.0 points since it was learned" in said


def test_of_vectors_the_moved_prompts_are_said():
    first = state({"a": 50, "c": 40})
    taken = astray_rows("a", "b", {0: 0}, vectors=True)
    version = version_of(2, first, state({"a": 50, "c": 40, "b": OWN}, taken), "b", in_use=True)
    said = learn_lines(folder_of(version_of(1, None, first, "a"), version), version)
    assert "a 1 of 50 prompts now go to b" in said and "c: no prompt of 40 goes elsewhere" in said


def test_removing_and_renaming_are_said_as_what_they_are():
    two, one = state({"a": OWN, "b": OWN}), state({"a": OWN})
    first = version_of(1, None, two, "b")
    gone = version_of(2, two, one, "b", did="remove", in_use=True)
    lines = learn_lines(folder_of(first, gone), gone)
    assert lines[0] == "b is removed" and lines[1].startswith("a: no answer of 200 changed")
    new = one.renamed({"a": "x"})
    named = version_of(3, one, new, "x", did="rename", renamed={"a": "x"}, in_use=True)
    lines = learn_lines(folder_of(first, gone, named), named)
    assert lines[:2] == [
        "a is called x now",
        "x: no answer of 200 changed; a loss beyond 1.9 points is ruled out",
    ]


def test_two_versions_are_compared_in_both_directions():
    folder = helpdesk()
    first, last = folder.version(1), folder.version(3)
    on = diff_lines(folder, first, last, changes_of(first.state, last.state, max_drop=2))
    assert on[:3] == [
        "from version 1 to version 3",
        "spam is new, 100.0 %",
        "refunds is new, 90.0 %",
    ]
    back = diff_lines(folder, last, first, changes_of(last.state, first.state, max_drop=2))
    assert "billing 83.0 -> 90.0   +7.0 (+3.6 to +11.6)" in back[3] and back[1:3] == [
        "spam is not there",
        "refunds is not there",
    ]


def test_versions_are_listed_with_what_the_gate_said():
    assert versions_lines(helpdesk()) == [
        "version  from  what           state      gate",
        f"      1     {MISSING}  learn billing  earlier    passed",
        "      2     1  learn spam     in use     passed",
        "      3     2  learn refunds  candidate  refused: billing lost more than 2.0 points",
    ]


def test_scores_of_free_text_bear_the_name_of_their_metric():
    assert [score_text(0.41, metric) for metric in ("exact", "f1", "rouge-l", "loss")] == [
        *("41.0 %", "F1 41.0", "ROUGE-L 41.0", "41.0 % a token")
    ]


@pytest.mark.parametrize("evil", ["a\x1b[2J", "a\nREFUSED", "a\r\u202eb", "\u2028x"])
def test_no_line_ends_or_acts_by_what_a_text_or_a_folder_holds(evil: str):
    own = state({"a": OWN})
    rows = tuple(row.model_copy(update={"text": evil}) for row in own.rows("a"))
    first = type(own)(learned=own.learned, kept={"a": rows}, astray=own.astray)
    taken = state({"a": OWN, "b": OWN}, astray_rows("a", "b", dict.fromkeys(range(30), 0.0)))
    second = type(own)(learned=taken.learned, kept={**taken.kept, "a": rows}, astray=taken.astray)
    version = version_of(2, first, second, "b")
    folder = folder_of(version_of(1, None, first, "a", in_use=True), version, name=evil)
    for line in [*learn_lines(folder, version), *versions_lines(folder)]:
        assert line.isprintable()


def test_a_long_text_is_cut_to_one_line():
    assert shortened("one\n two " + "x" * 100, 20) == "one two xxxxxxxxx..."
