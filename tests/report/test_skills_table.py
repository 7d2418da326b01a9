"""Tables of a skills folder, as text and as numbers."""

from amlora.records.folder import Folder
from amlora.report.format import MINUS, MISSING
from amlora.report.skills_table import (
    flips_of,
    flips_table,
    skills_frame,
    skills_sheet,
)
from amlora.report.write import write
from made_skills import OWN, astray_rows, helpdesk, state, version_of


def test_the_table_has_a_row_a_skill_and_a_column_a_version():
    folder = helpdesk()
    table = skills_sheet(folder, folder.version(3)).shown
    assert list(table) == [
        *("skill", "v1", "v2", "v3", "change", "answers changed", "prompts lost to")
    ]
    lost = f"{MINUS}7.0 ({MINUS}11.6 to {MINUS}3.6): worse"
    assert table.to_numpy().tolist() == [
        ["billing", "90.0", "90.0", "83.0", lost, "16 of 200", "16 to refunds"],
        ["spam", MISSING, "100.0", "100.0", "none: identical", "0 of 10", "nobody"],
        ["refunds", MISSING, MISSING, "90.0", "new", MISSING, "nobody"],
    ]


def test_the_gate_and_the_prompts_of_no_skill_stand_below_the_table():
    folder = helpdesk()
    assert skills_sheet(folder, folder.version(3)).notes == [
        "no skill: 64 of 64 general prompts go to the base model, as many as before",
        "refused: billing lost more than 2.0 points",
    ]


def test_of_many_versions_the_last_are_shown_and_all_are_in_the_numbers():
    own = state({"a": OWN})
    versions = [version_of(1, None, own, "a")]
    versions += [version_of(number, own, own, "a", did="update") for number in range(2, 10)]
    folder = Folder(name="x", base="b", versions=tuple(versions))
    sheet = skills_sheet(folder, versions[-1])
    assert [name for name in sheet.shown if name[0] == "v"] == [f"v{at}" for at in range(4, 10)]
    assert sheet.notes[-1] == "3 earlier versions are not shown."
    assert sheet.values is not None and {"v1", "v9", "verdict"} <= {*sheet.values}


def test_a_renamed_skill_keeps_its_scores_and_a_removed_one_comes_last():
    first = state({"a": OWN, "b": OWN})
    second = state({"x": OWN})
    versions = (
        version_of(1, None, first, "b"),
        version_of(2, first, second, "b", did="remove", renamed={"a": "x"}, in_use=True),
    )
    folder = Folder(name="n", base="b", versions=versions)
    rows = skills_sheet(folder, folder.version()).shown
    assert rows["skill"].tolist() == ["x", "b"] and rows["v1"].tolist() == ["90.0", "90.0"]
    assert rows["v2"].tolist() == ["90.0", MISSING] and rows["change"].tolist()[1] == "gone"


def test_of_vectors_no_score_is_made_up():
    first = state({"a": 50})
    second = state({"a": 50, "b": 0}, astray_rows("a", "b", {1: 0}, vectors=True))
    versions = (version_of(1, None, first, "a"), version_of(2, first, second, "b", in_use=True))
    folder = Folder(name="n", base="b", versions=versions)
    assert skills_sheet(folder, versions[1]).shown.to_numpy().tolist() == [
        ["a", MISSING, MISSING, "not known: undecided", "1 of 50 prompts moved", "1 to b"],
        ["b", MISSING, MISSING, "new", MISSING, "nobody"],
    ]


def test_a_free_text_skill_bears_the_name_of_its_metric():
    one = state({"sum": [0.5, 0.3]}, metric="rouge-l")
    version = version_of(1, None, one, "sum", in_use=True)
    rows = skills_sheet(Folder(name="n", base="b", versions=(version,)), version).shown
    assert rows["skill"].tolist() == ["sum (ROUGE-L)"] and rows["v1"].tolist() == ["40.0"]


def test_flipped_rows_tell_who_answered_what_before_and_now():
    folder = helpdesk()
    ((change, rows),) = flips_of(folder, folder.version(3))
    table = flips_table(change, rows, 2, 100)
    assert (change.skill, len(rows)) == ("billing", 16)
    assert table.to_numpy().tolist()[0] == [
        *("billing text 0", "yes", "billing", "yes", "refunds", "refunds says"),
        *("right \N{RIGHTWARDS ARROW} wrong", "test:0"),
    ]
    assert len(table) == 2 and flips_of(folder, folder.version(1)) == []


def test_the_frame_has_a_row_for_every_skill_of_every_version():
    frame = skills_frame(helpdesk())
    assert list(zip(frame["version"], frame["skill"], strict=True)) == [
        *((1, "billing"), (2, "billing"), (2, "spam")),
        *((3, "billing"), (3, "spam"), (3, "refunds")),
    ]
    assert frame["verdict"].tolist() == ["new", "identical", "new", "worse", "identical", "new"]
    assert frame["score"].tolist()[3] == 0.83


def test_the_table_can_be_written_in_every_format():
    folder = helpdesk()
    sheet = skills_sheet(folder, folder.version(3))
    assert "16 to refunds" in write([sheet], "text") and "billing" in write([sheet], "csv")
    for form in ("markdown", "latex", "html", "json"):
        assert "billing" in write([sheet], form)
