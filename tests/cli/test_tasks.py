"""`amlora tasks`, `amlora orders` and `amlora doctor --data`."""

import json

import pytest

from amlora.report.format import MISSING
from amlora.streams import catalogue
from command import amlora, said


def test_every_task_has_a_line_with_its_sizes_licence_and_hub_id():
    header, *lines = said("tasks").splitlines()
    assert header.split()[0] == "TASK"
    assert [line.split()[0] for line in lines] == list(catalogue.entries())
    [cb] = [line for line in lines if line.startswith("cb ")]
    assert cb.split() == ["cb", "NLI", "3", "250", "56", "unknown", "aps/super_glue"]


def test_one_task_is_shown_whole_and_one_that_is_not_pinned_says_so():
    out, entry = said("tasks", "rte"), catalogue.entries()["rte"]
    shown = [entry.instruction, entry.folder, entry.hub.id, entry.hub.config, entry.hub.revision]
    assert [text for text in shown if text not in out] == []
    assert "not_entailment -> contradiction" in out
    assert "277 rows (contradiction 131, entailment 146)" in out
    assert "orders       4, 5, 6" in out
    assert "not pinned, columns not verified" in said("tasks", "amazon") and "not pinned" not in out


def test_orders_are_listed_and_one_is_shown_with_what_to_set():
    assert "1      dbpedia, amazon, yahoo, agnews\n" in said("orders")
    *_, line = said("orders", "4").splitlines()
    assert line.startswith("--set stream.order=4 --set 'method.sparsity=[0.0, 0.01,")


def test_tasks_and_orders_as_json_are_all_that_the_catalogue_knows():
    listed = json.loads(said("tasks", "--json"))
    assert [task["name"] for task in listed] == list(catalogue.entries())
    assert json.loads(said("tasks", "yelp", "--json")) == listed[-1]
    assert listed[-1]["hub"]["answers"]["2 star"] == "negative"
    orders = json.loads(said("orders", "--json"))
    assert {name: tuple(order["tasks"]) for name, order in orders.items()} == catalogue.orders()
    assert json.loads(said("orders", "5", "--json")) == orders["5"]


@pytest.fixture
def copa(tmp_path):
    """The reference's layout with one whole task."""
    folder = tmp_path / "data" / "COPA" / "COPA"
    folder.mkdir(parents=True)
    (folder / "labels.json").write_text('["A", "B"]')
    entry = catalogue.entries()["copa"]
    for split, counts in (("train", entry.rows.train), ("test", entry.rows.test)):
        rows = [
            {"sentence": f"{split} {label} {i}", "label": label}
            for label, count in counts.labels.items()
            for i in range(count)
        ]
        (folder / f"{split}.json").write_text(json.dumps(rows))
    return folder


def test_data_at_hand_is_listed_and_what_is_absent_is_no_problem(copa):
    out = said("doctor", "--data", "--data-root", copa.parents[1])
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    assert lines["copa"] == ["400", MISSING, "100", "whole"]
    assert lines["yelp"] == [MISSING, MISSING, MISSING, "not", "there"]
    assert "1 of 15 tasks are in" in out
    assert "problem" not in out


def test_a_smaller_copy_is_shown_as_such(copa):
    rows = json.loads((copa / "train.json").read_text())
    (copa / "train.json").write_text(json.dumps(rows[:90]))
    out = said("doctor", "--data", "--data-root", copa.parents[1])
    assert f"copa     90 of 400  {MISSING}    100   smaller\n" in out


def test_each_problem_is_a_line_and_the_status_is_1(copa):
    rows = json.loads((copa / "train.json").read_text())
    (copa / "test.json").write_text(json.dumps([rows[0], {"sentence": "new", "label": "C"}]))
    root = str(copa.parents[1])
    status, out, _ = amlora("doctor", "--data", "--data-root", root)
    problems = [line for line in out.splitlines() if line.startswith("problem: ")]
    assert (status, len(problems)) == (1, 2)
    assert problems[0].startswith(f"problem: {copa}/test.json: line 1, item 2: label 'C'")
    assert problems[1] == f"problem: {copa}: 1 of 2 test texts are in train as well."
    status, out, _ = amlora("doctor", "--data", "--data-root", root, "--json")
    assert status == 1
    assert [f"problem: {text}" for text in json.loads(out)["problems"]] == problems


def test_a_folder_without_any_task_is_a_problem(tmp_path):
    status, out, _ = amlora("doctor", "--data", "--data-root", str(tmp_path))
    assert status == 1
    assert f"problem: {tmp_path}: none of the 15 tasks is there; the reference layout" in out


def test_without_a_folder_the_hubs_cache_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    entry = catalogue.entries()["cb"]
    kept = tmp_path / "datasets--aps--super_glue" / "snapshots" / entry.hub.revision / "cb"
    kept.mkdir(parents=True)
    (kept / "train-00000-of-00001.parquet").write_bytes(b"")
    facts = json.loads(said("doctor", "--data", "--json"))
    assert (facts["problems"], facts["data_root"]) == ([], None)
    assert [task["task"] for task in facts["tasks"] if task["there"]] == ["cb"]
