"""What `amlora doctor --data` finds in folders in the reference layout."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from amlora.streams import catalogue
from amlora.streams.survey import complete_orders, look_at, survey

CB = catalogue.entries()["cb"]
TRAIN = {"entailment": 115, "contradiction": 119, "neutral": 16}
TEST = {"entailment": 23, "contradiction": 28, "neutral": 5}


def rows(split: str, counts: dict[str, int]) -> list[dict[str, str]]:
    return [
        {"sentence": f"{split} {label} {i}", "label": label}
        for label, count in counts.items()
        for i in range(count)
    ]


@pytest.fixture
def write_cb(tmp_path):
    """Write CB as the reference has it, or with other splits or labels."""

    def make(labels: Sequence[str] = CB.labels, **splits: list[dict[str, str]] | None) -> Path:
        folder = tmp_path / CB.folder
        folder.mkdir(parents=True)
        test = rows("test", TEST)
        whole = {"train": rows("train", TRAIN), "dev": test, "test": test, **splits}
        for split, written in whole.items():
            if written is not None:
                (folder / f"{split}.json").write_text(json.dumps(written))
        (folder / "labels.json").write_text(json.dumps(labels))
        return folder

    return make


def test_the_references_own_files_are_whole_with_dev_rows_that_are_test_rows(tmp_path, write_cb):
    write_cb()
    found = look_at(CB, tmp_path)
    assert (found.there, found.problems) == (True, [])
    assert found.rows == {"train": 250, "dev": 56, "test": 56}
    assert found.expected == {"train": 250, "test": 56}
    assert found.labels["train"] == TRAIN
    assert found.notes == [
        "dev rows are the test rows, as in the reference; stream.dev_from = 'train' sets others"
        " aside."
    ]


def test_fewer_rows_and_rows_without_a_label_are_noted_and_no_problem(tmp_path, write_cb):
    train = rows("train", {"entailment": 9, "neutral": 4})
    write_cb(train=train, dev=None, test=rows("test", {"neutral": 3, "-": 2}))
    found = look_at(CB, tmp_path)
    assert found.problems == []
    assert found.notes == [
        "2 of 5 test rows have no label.",
        "smaller: 13 of 250 train rows.",
        "smaller: 5 of 56 test rows.",
    ]


ODD = [*rows("train", {"neutral": 3}), {"sentence": "odd", "label": "entailmant"}]
REFERENCE = "train rows labelled {!r}; the reference has {}."
PROBLEMS = {
    "more rows": (
        {"train": rows("train", {**TRAIN, "neutral": 17})},
        [": 251 train rows; the reference has 250."],
    ),
    "other rows of a label": (
        {"train": rows("train", {**TRAIN, "neutral": 17, "entailment": 114})},
        [": 114 " + REFERENCE.format("entailment", 115), ": 17 " + REFERENCE.format("neutral", 16)],
    ),
    "fewer rows, but more of a label": (
        {"train": rows("train", {"neutral": 17})},
        [": 17 " + REFERENCE.format("neutral", 16)],
    ),
    "an unknown label": (
        {"train": ODD},
        [
            "/train.json: line 1, item 4: label 'entailmant' is not known (1 of 4 train rows have"
            " such a label); did you mean 'entailment'?"
        ],
    ),
    "other labels": (
        {"labels": ["entailment", "contradiction"]},
        [
            "/labels.json: lists entailment, contradiction; the task has entailment,"
            " contradiction, neutral."
        ],
    ),
    "a missing split": ({"test": None, "dev": None}, [": no test rows."]),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_what_is_not_the_references_is_a_problem(tmp_path, write_cb, case):
    changes, expected = PROBLEMS[case]
    folder = write_cb(**changes)
    assert look_at(CB, tmp_path).problems == [f"{folder}{problem}" for problem in expected]


def test_texts_in_two_splits_are_counted_whatever_their_case(tmp_path, write_cb):
    test = rows("test", TEST)
    train = rows("train", {"neutral": 5})
    train[0]["sentence"] = test[0]["sentence"].upper() + "!"
    dev = rows("dev", {"neutral": 4})
    dev[1]["sentence"] = test[1]["sentence"]
    dev[2]["sentence"] = train[1]["sentence"]
    folder = write_cb(train=train, dev=dev)
    assert look_at(CB, tmp_path).problems == [
        f"{folder}: 1 of 56 test texts are in train as well.",
        f"{folder}: 1 of 4 dev texts are in train as well.",
        f"{folder}: 1 of 4 dev texts are in test as well.",
    ]


def test_a_broken_or_missing_file_is_one_line(tmp_path, write_cb):
    folder = write_cb()
    (folder / "train.json").write_text("[{]")
    [problem] = look_at(CB, tmp_path).problems
    assert problem.startswith(f"{folder}/train.json: line 1: not JSON")
    (folder / "labels.json").unlink()
    assert look_at(CB, tmp_path).problems == [f"{folder}: has no labels.json."]


def test_all_tasks_are_looked_at_and_those_absent_are_no_problem(tmp_path, write_cb):
    write_cb()
    found = survey(tmp_path)
    assert [finding.task for finding in found] == list(catalogue.entries())
    assert [finding.task for finding in found if finding.there] == ["cb"]
    assert not any(finding.problems for finding in found)


def test_an_order_is_complete_when_all_its_tasks_are_there():
    assert complete_orders({"dbpedia", "amazon", "yahoo", "agnews", "cb"}) == ["1", "2", "3"]
    assert complete_orders(set(catalogue.entries())) == ["1", "2", "3", "4", "5", "6"]
    assert complete_orders({"dbpedia"}) == []
