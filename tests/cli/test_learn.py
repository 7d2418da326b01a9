"""`amlora learn` from a table to a skills folder, on a tiny model."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from amlora.mixture.version import in_use
from command import amlora, said
from tables import words, write_table

QUICK = ("--lr", "0.01", "--rank", "4", "--device", "cpu", "--precision", "float32")


def learn_words(folder: Path, name: str, data: Path, *more: object) -> tuple[object, ...]:
    """Return the command that learns a task quickly; `more` may give other options."""
    given = ("--task", name, "--data", data, "--instruction", words(name).instruction)
    return ("learn", folder, *given, *QUICK, *more)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with tables."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("film", "topic"):
        write_table(folder, name)
    write_table(folder, "film", rows=120, swapped=True)
    return folder


@pytest.fixture(scope="module")
def made(place, llama_folder) -> tuple[Path, str, str]:
    """A folder with one skill, and what was printed of it."""
    more = ("--model", llama_folder, "--steps", 60)
    status, out, err = amlora(*learn_words(place / "made", "topic", place / "topic.csv", *more))
    assert status == 0, err
    return place / "made", out, err


@pytest.fixture
def one(made, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made[0], tmp_path / "skills"))


def test_before_learning_rows_options_scores_and_cost_are_told(made):
    folder, _, err = made
    first, rows, before, *_ = err.splitlines()
    assert first.startswith(f"{folder}: new; base ") and "float32, cpu; LoRA rank 4 on" in first
    assert rows == "topic: 35 train, 4 stop, 9 kept rows; 2 options, scored by exact"
    assert before.startswith("topic: before learning ")
    assert "most frequent answer" in before and "; at most about" in before


def test_the_result_and_what_it_did_to_others_go_to_standard_output(made):
    lines = made[1].splitlines()
    assert lines[0].startswith("topic 100.0 % (")
    assert "64 of 64 general prompts go to the base model" in lines
    assert lines[-1] == "published version 1"


def test_a_second_skill_is_compared_with_the_first(one, place):
    more = ("--steps", 80, "--uses", "none")
    out = said(*learn_words(one, "film", place / "film.csv", *more))
    assert "topic: no answer of 9 changed" in out
    assert out.splitlines()[-1] == "published version 2"


def test_a_version_that_harms_another_is_refused_with_what_comes_next(made, place, tmp_path):
    folder = shutil.copytree(made[0], tmp_path / "my skills")
    table = tmp_path / "swapped.csv"
    write_table(tmp_path, "topic", rows=120, swapped=True).rename(table)
    same = ("--instruction", words("topic").instruction, "--steps", 120)
    status, out, _ = amlora(*learn_words(folder, "thief", table, *same))
    assert status == 3 and in_use(folder) == "0001"
    *_, refused, following = out.splitlines()
    assert refused.startswith("REFUSED: topic lost more than 2.0 points. Candidate 2 is kept;")
    assert following == (
        f"next: amlora report '{folder}' --version 2 | amlora publish '{folder}' 2 --force"
    )


def test_json_has_the_whole_outcome(one, place):
    words = learn_words(one, "film", place / "film.csv", "--steps", 40, "--json")
    status, out, _ = amlora(*words)
    found = json.loads(out)
    assert found["version"] == "0002" and found["published"] == (status == 0)
    assert found["learned"]["task"] == "film" and found["learned"]["steps"] == 40
    assert found["standing"]["gate"]["max_drop"] == 2.0 and found["notes"]


def test_options_reach_the_settings(one, place):
    given = ("--max-drop", 5, "--keep-dev", "vectors", "--seed", 3, "--targets", "q_proj,v_proj")
    more = ("--steps", 4, "--options", "Good, Bad", "--metric", "loss", "--json", *given)
    found = json.loads(amlora(*learn_words(one, "film", place / "film.csv", *more))[1])
    settings = found["learned"]["settings"]
    told = (settings["max_drop"], settings["keep_dev"], settings["seed"], settings["lr"])
    assert told == (5.0, "vectors", 3, 0.01)
    assert found["learned"]["metric"] == "loss"


def test_columns_are_named_and_a_missing_one_is_refused(one, tmp_path):
    table = tmp_path / "rows.csv"
    rows = [f"the team won {n},Sports\nthe market fell {n},Business\n" for n in range(12)]
    table.write_text("said,kind\n" + "".join(rows))
    status, out, err = amlora(*learn_words(one, "kind", table, "--steps", 1))
    assert (status, out, err.count("\n")) == (2, "", 1) and "columns are: 'said', 'kind'" in err
    columns = ("--text", "said", "--label", "kind", "--steps", 1, "--json")
    found = json.loads(amlora(*learn_words(one, "kind", table, *columns))[1])
    assert found["learned"]["rows"]["train"] > 0


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("--data none.csv --task film", "none.csv: no such file or folder"),
        ("--data empty.csv --task film", "empty.csv"),
        ("--data film.csv --task topic", "{skills}: the skill 'topic' is there already; --update"),
        ("--data film.csv --task film --update", "{skills}: --update: no skill 'film'"),
        ("--data film.csv --task film --model gpt2", "{skills}: its base model is "),
        ("--data film.csv --task film/s", "--task: 'film/s': use 1 to 64 letters"),
        ("--data film.csv --task film --combine attention", "{skills}: its skills combine by"),
        ("--data quickstart/smss --task film", "there is no built-in task 'smss'; did you mean"),
    ],
)
def test_wrong_input_is_one_line_and_changes_nothing(one, place, monkeypatch, more, line):
    monkeypatch.chdir(place)
    (place / "empty.csv").write_text("")
    before = sorted(path for path in one.rglob("*") if path.name != ".lock")
    status, out, err = amlora("learn", one, *more.split(), "--steps", 1)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert line.format(skills=one) in err
    assert sorted(path for path in one.rglob("*") if path.name != ".lock") == before


def test_an_interrupted_learn_says_that_the_same_command_goes_on_and_it_does(
    place, llama_folder, tmp_path
):
    more = ("--model", llama_folder, "--steps", 120)
    words = [*map(str, learn_words(tmp_path / "new", "topic", place / "topic.csv", *more))]
    command = [sys.executable, "-m", "amlora", *words]
    environment = {**os.environ, "NO_COLOR": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "120 steps" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130, rest
    assert rest.splitlines()[-1].startswith("amlora: interrupted; to go on: amlora learn ")
    assert "Traceback" not in rest and in_use(tmp_path / "new") is None
    status, out, err = amlora(*words)
    assert status == 0 and out.splitlines()[-1] == "published version 1", err
