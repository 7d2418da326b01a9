"""`amlora data`: what there is to try `amlora learn` on, and files of it."""

import json
from collections import Counter

import pytest

from amlora.cache import cache_folder
from amlora.skills.data import read_task
from amlora.skills.settings import LearnSettings, Words
from amlora.streams.quickstart import BUILT_IN, built_in_task
from command import amlora, said


def cached(*names: str) -> None:
    wheels = {BUILT_IN[name].filename for name in names}
    folder = cache_folder() / "wheels"
    if missing := [wheel for wheel in wheels if not (folder / wheel).is_file()]:
        pytest.skip(f"not in the cache: {', '.join(missing)}")


def test_every_built_in_task_has_a_line_with_its_rows_package_and_terms():
    header, *lines = said("data").splitlines()
    assert header.split() == ["TASK", "ROWS", "ANSWERS", "PACKAGE", "TERMS"]
    assert [line.split()[0] for line in lines] == [f"quickstart/{name}" for name in BUILT_IN]
    assert lines[0].split() == [
        *("quickstart/sms", "1,260", "spam,", "normal", "textdescriptives==2.8.4", "Apache-2.0")
    ]
    listed = json.loads(said("data", "--json"))
    assert listed[-1]["name"] == "quickstart/trivia" and listed[-1]["options"] == []


def test_one_task_is_shown_with_its_instruction_and_a_few_rows():
    cached("trivia")
    out = said("data", "quickstart/trivia")
    assert BUILT_IN["trivia"].instruction in out and out.count("\n-> ") == 3
    assert len(json.loads(said("data", "quickstart/trivia", "--json"))["examples"]) == 3


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize("name", ["bbc", "headlines"])
def test_a_file_of_a_task_holds_its_rows_as_learn_reads_them(tmp_path, name, ending):
    cached(name)
    out = tmp_path / f"rows.{ending}"
    status, printed, told = amlora("data", f"quickstart/{name}", "--out", out)
    assert (status, printed) == (0, f"{out}\n")
    assert told.startswith(f"next: amlora learn skills --task {name} --data {out} --instruction ")
    new = read_task(name, out, Words(instruction=BUILT_IN[name].instruction), LearnSettings())
    task = built_in_task(name)
    assert new.task.options == task.options
    written, given = (
        Counter((row.text, row.label) for row in (*each.train, *each.dev, *each.test))
        for each in (new.task, task)
    )
    assert written == given


def test_so_many_rows_are_written_of_each_label_its_share(tmp_path):
    cached("sms")
    out = tmp_path / "sms.jsonl"
    said("data", "sms", "--out", out, "--rows", 50)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert Counter(line["label"] for line in lines) == {"spam": 25, "normal": 25}
    assert len({line["label"] for line in lines[:8]}) == 2
    before = out.read_bytes()
    status, _, told = amlora("data", "quickstart/sms", "--out", out)
    assert status == 2 and "--force" in told and out.read_bytes() == before
    said("data", "quickstart/sms", "--out", out, "--rows", 50, "--force")
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["smss"], "did you mean 'sms'"),
        (["quickstart/xyz"], "movies, questions, headlines, trivia"),
        (["quickstart/sms", "--out", "sms.txt"], "--out: sms.txt must end in one of .csv, .jsonl"),
        (["quickstart/sms", "--rows", "5"], "name one by --out"),
        (["--out", "sms.csv"], "name a task"),
        (["quickstart/sms", "--out", "nowhere/sms.csv"], "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_written_is_said(words, fault):
    status, out, told = amlora("data", *words)
    assert (status, out, told.count("\n")) == (2, "", 1)
    assert fault in told
