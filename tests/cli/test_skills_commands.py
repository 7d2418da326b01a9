"""Commands on a skills folder that is there: list, compare, publish, go back, ask, change."""

import json
import shutil
from pathlib import Path

import pytest

from amlora.mixture.version import in_use
from command import amlora, said
from tables import QUICK, learned, write_table

FLOAT32 = ("--device", "cpu", "--precision", "float32")


@pytest.fixture(scope="module")
def made(tmp_path_factory, llama_folder) -> Path:
    """Two skills that are in use, and a third version that the gate refused."""
    place = tmp_path_factory.mktemp("made")
    thorough = QUICK.replace(steps=80)
    for name in ("film", "topic"):
        table = write_table(place, name)
        learned(place / "skills", llama_folder, name, table, settings=thorough)
    swapped = write_table(place, "film", rows=120, swapped=True)
    thief = {"task": "thief", "settings": thorough}
    outcome = learned(place / "skills", llama_folder, "film", swapped, **thief)
    assert not outcome.published and in_use(place / "skills") == "0002"
    return place / "skills"


@pytest.fixture
def skills(made, tmp_path) -> Path:
    """A copy of them."""
    return Path(shutil.copytree(made, tmp_path / "skills"))


def test_versions_lists_all_and_says_which_is_in_use(made):
    header, *lines = said("versions", made).splitlines()
    assert header.split() == ["version", "from", "what", "state", "gate"]
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert "in use" in lines[1] and "candidate  refused: film lost more" in lines[2]
    found = json.loads(said("versions", made, "--json"))
    assert [each["in_use"] for each in found] == [False, True, False]


def test_show_names_each_skill_with_its_words_and_what_is_kept(made):
    out = said("show", made)
    assert out.startswith(f"{made}: version 2, ")
    for part in ("\nfilm\n", "What is the topic of the following", "9 rows", "rank 4"):
        assert part in out
    shown = json.loads(said("show", made, "--json"))
    assert [skill["name"] for skill in shown["skills"]] == ["film", "topic"]
    assert shown["skills"][0]["options"] == ["Bad", "Good"]


def test_report_prints_a_version_and_writes_a_page(made, tmp_path):
    out = said("report", made)
    assert out.startswith(f"{made}: version 2, in use\n")
    candidate = said("report", made, "--version", 3)
    assert "refused: film lost more than 2.0 points" in candidate
    page = tmp_path / "page.html"
    assert said("report", made, "--version", 3, "--out", page) == f"{page}\n"
    assert "film lost more than 2.0 points" in page.read_text()
    assert amlora("report", made, "--out", page)[0] == 2  # it is there already


def test_diff_says_what_the_second_does_otherwise(made):
    out = said("diff", made, 2, "0003")
    assert out.startswith("from version 2 to version 3\n") and "thief is new" in out
    changes = json.loads(said("diff", made, 2, 3, "--json"))
    assert [change["skill"] for change in changes if change["verdict"] == "worse"] == ["film"]


def test_a_refused_version_takes_force_and_rollback_returns(skills):
    status, out, err = amlora("publish", skills, 3)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "version 3 was refused: film lost more than 2.0 points" in err
    assert said("publish", skills, "--force") == f"{skills}: version 3 is in use.\n"
    assert said("rollback", skills) == f"{skills}: version 2 is in use.\n"
    assert said("publish", skills, 1, "--force") == f"{skills}: version 1 is in use.\n"


def test_prune_deletes_what_the_version_in_use_does_not_need(skills):
    out = said("prune", skills)
    assert out.startswith(f"{skills}: deleted version 3.\n") and "gone from the disk now" in out
    assert said("prune", skills) == f"{skills}: nothing to delete.\n"


def test_eval_answers_kept_rows_again_or_fresh_ones(made, tmp_path):
    lines = said("eval", made, *FLOAT32).splitlines()
    assert [line.split()[0] for line in lines] == ["SKILL", "film", "topic"]
    fresh = write_table(tmp_path, "topic", rows=30)
    fresh.write_text(fresh.read_text().replace("text,label", "text,kind", 1))
    words = ("--task", "topic", "--data", fresh, "--label", "kind", *FLOAT32, "--json")
    [found] = json.loads(said("eval", made, *words))
    assert found["skill"] == "topic" and found["rows"] == 30
    assert sum(found["answered_by"].values()) == 30


def test_rename_and_remove_make_versions(skills):
    out = said("rename", skills, "film", "movies")
    assert out.splitlines()[0] == "film is called movies now"
    assert out.splitlines()[-1] == "published version 4"
    out = said("remove", skills, "movies", *FLOAT32)
    assert out.splitlines()[0] == "movies is removed"
    assert [skill["name"] for skill in json.loads(said("show", skills, "--json"))["skills"]] == [
        "topic"
    ]


def test_predict_explains_which_skill_answered(made):
    words = ("--task", "topic", "--choose", "--explain", *FLOAT32)
    text = "the team won the game abcd secret-1-topic"
    answer, told = said("predict", made, text, *words).splitlines()
    assert answer in ("Sports", "Business")
    assert told.startswith("    answered by topic; likeliest topic (")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("versions none", "none: no such folder"),
        ("versions plain", "plain: no skills here"),
        ("publish skills 9", "skills: no version '9'"),
        ("publish skills x", "skills: no version 'x'"),
        ("report skills --version 9", "skills: no version '9'"),
        ("diff skills 1 9", "skills: no version '9'"),
        ("report skills skills", "a skills folder is reported on alone"),
        ("report skills --against x", "a skills folder is reported on alone"),
        ("remove skills flim", "skills: no skill 'flim'; did you mean 'film'?"),
        ("rename skills film topic", "skills: a skill 'topic' is there already."),
        ("rename skills film none", "'none' stands for no skill"),
        ("eval skills --data film.csv", "--data: name the skill that the rows are of by --task."),
        ("eval skills --task flim", "--task: no skill 'flim'; did you mean 'film'?"),
        ("predict skills text --task flim", "--task: skills has no task 'flim'; did you mean"),
    ],
)
def test_wrong_input_is_one_line(skills, monkeypatch, words, line):
    monkeypatch.chdir(skills.parent)
    Path("plain").mkdir()
    status, out, err = amlora(*words.split())
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith(f"amlora: {line}")


def test_before_anything_is_published_versions_and_reports_are_read(tmp_path, llama_folder):
    folder = tmp_path / "skills"
    table = write_table(tmp_path, "film")
    assert not learned(
        folder, llama_folder, "film", table, settings=QUICK.replace(steps=1)
    ).published
    assert "candidate" in said("versions", folder)
    assert "refused: film is no better than" in said("report", folder, "--version", 1)
    for words in (("report", folder), ("show", folder), ("predict", folder, "text")):
        status, out, err = amlora(*words)
        assert (status, out, err.count("\n")) == (2, "", 1), err
    assert said("publish", folder, 1, "--force") == f"{folder}: version 1 is in use.\n"
