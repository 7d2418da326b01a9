"""What becomes of a new task's rows: where they are read, which are dropped, what each is for."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from amlora.cache import cache_folder
from amlora.errors import InputError
from amlora.skills.data import hub_settings, read_rows, read_task
from amlora.skills.settings import LearnSettings, Words
from amlora.streams.quickstart import BUILT_IN
from amlora.streams.task import text_key

WORDS, SETTINGS = Words(instruction="Which?"), LearnSettings()


def write(path: Path, pairs: list[tuple[str, str]], names: tuple[str, str] = ("text", "label")):
    """Write texts and labels as JSON lines, or as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([names, *pairs])
    else:
        lines = [json.dumps(dict(zip(names, pair, strict=True))) for pair in pairs]
        path.write_text("\n".join(lines), encoding="utf-8")
    return path


def pairs(count: int, labels: tuple[str, ...] = ("yes", "no"), word: str = "text"):
    return [(f"{word} {i}", labels[i % len(labels)]) for i in range(count)]


def read(data: object, words: Words = WORDS, **settings):
    return read_task("mine", str(data), words, SETTINGS.replace(**settings))


def sizes(new) -> tuple[int, int, int]:
    return len(new.task.train), len(new.task.dev), len(new.task.test)


def labels(rows) -> Counter[str]:
    return Counter(row.label for row in rows)


@pytest.mark.parametrize("name", ["data.jsonl", "data.csv"])
def test_one_file_is_divided_by_label(tmp_path, name):
    new = read(write(tmp_path / name, pairs(300, ("a", "b", "a"))))
    assert sizes(new) == (210, 30, 60)
    assert labels(new.task.test) == {"a": 40, "b": 20}
    assert labels(new.task.dev) == {"a": 20, "b": 10}
    assert new.task.options == ("a", "b")
    assert new.task.instruction == "Which?"
    assert (new.metric, new.duplicates, new.contradictions) == ("exact", 0, 0)
    assert new.notes == ["210 train, 30 stop, 60 kept rows; 2 options, scored by exact"]


def test_no_text_is_in_two_places_and_none_is_lost(tmp_path):
    given = pairs(157)
    new = read(write(tmp_path / "data.jsonl", given))
    splits = (new.task.train, new.task.dev, new.task.test)
    assert sorted(row.text for rows in splits for row in rows) == sorted(t for t, _ in given)


def test_large_data_give_the_kept_rows_that_are_asked_for_and_200_stop_rows(tmp_path):
    path = write(tmp_path / "data.jsonl", pairs(4000))
    assert sizes(read(path)) == (3600, 200, 200)
    assert sizes(read(path, keep_dev=500)) == (3300, 200, 500)


@pytest.mark.parametrize("keep", [0, "vectors"])
def test_rows_are_scored_where_none_are_kept(tmp_path, keep):
    new = read(write(tmp_path / "data.jsonl", pairs(4000)), keep_dev=keep)
    assert sizes(new) == (3600, 200, 200)
    assert "200 scored rows" in new.notes[0]


def test_the_seed_and_nothing_else_decides_which_rows_are_which(tmp_path):
    path = write(tmp_path / "data.jsonl", pairs(200))
    assert read(path) == read(path)
    assert read(path).task.test != read(path, seed=1).task.test


def test_splits_that_are_given_are_the_stop_and_the_kept_rows(tmp_path):
    for split in ("train", "dev", "test"):
        write(tmp_path / f"{split}.jsonl", pairs(40, word=split))
    new = read(tmp_path, keep_dev=30)
    assert sizes(new) == (40, 40, 30)
    assert {row.text.split()[0] for row in new.task.dev} == {"dev"}
    assert labels(new.task.test) == {"yes": 15, "no": 15}


def test_a_split_that_is_not_given_is_set_aside(tmp_path):
    write(tmp_path / "train.jsonl", pairs(100))
    write(tmp_path / "test.jsonl", pairs(20, word="test"))
    assert sizes(read(tmp_path)) == (90, 10, 20)


def test_the_reference_layout_whose_dev_rows_are_its_test_rows_is_read(tmp_path):
    folder = tmp_path / "SC" / "films"
    for split, count in (("train", 50), ("dev", 30), ("test", 30)):
        word = "train" if split == "train" else "test"
        rows = [{"sentence": text, "label": label} for text, label in pairs(count, word=word)]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{split}.json").write_text(json.dumps(rows))
    (folder / "labels.json").write_text('["yes", "no"]')
    new = read(folder)
    assert sizes(new) == (45, 5, 30)
    assert new.duplicates == 30


def test_equal_texts_stay_once_and_in_the_test_rows_first(tmp_path):
    write(tmp_path / "train.jsonl", [*pairs(40), ("TEXT 1!", "no"), ("same", "yes")])
    write(tmp_path / "test.jsonl", [*pairs(20, word="test"), ("Same.", "yes")])
    new = read(tmp_path)
    assert (new.duplicates, new.contradictions) == (2, 0)
    assert "Same." in {row.text for row in new.task.test}
    assert "2 duplicates dropped" in new.notes[0]
    texts = [text_key(row.text) for row in (*new.task.train, *new.task.dev, *new.task.test)]
    assert len(set(texts)) == len(texts) == 61


def test_a_text_with_two_labels_is_not_used_at_all(tmp_path):
    given = [*pairs(40), ("Text 0", "no"), ("text 0", "yes"), ("text 2.", "yes")]
    new = read(write(tmp_path / "data.jsonl", given))
    used = {row.text for row in (*new.task.train, *new.task.dev, *new.task.test)}
    assert (new.duplicates, new.contradictions) == (4, 3)
    assert used == {text for text, _ in pairs(40)} - {"text 0"}
    assert "4 duplicates dropped, 3 of them for different labels" in new.notes[0]


def test_of_several_answers_in_free_text_the_first_stays(tmp_path):
    given = [(f"question {i}", f"answer {i}") for i in range(30)]
    new = read(write(tmp_path / "data.jsonl", [*given, ("Question 3", "another")]))
    assert (new.task.options, new.metric) == ((), "f1")
    assert (new.duplicates, new.contradictions) == (1, 1)
    rows = (*new.task.train, *new.task.dev, *new.task.test)
    assert ("question 3", "answer 3") in {(row.text, row.label) for row in rows}
    assert "another" not in {row.label for row in rows}


def test_at_most_so_many_train_rows_are_used_and_it_is_said(tmp_path):
    new = read(write(tmp_path / "data.jsonl", pairs(100)), max_train=10)
    assert sizes(new) == (10, 10, 20)
    assert labels(new.task.train) == {"yes": 5, "no": 5}
    assert "mine: 10 of 70 train rows are used." in new.notes


def test_a_named_metric_of_free_text_makes_labels_free_text(tmp_path):
    path = write(tmp_path / "data.jsonl", pairs(40))
    new = read(path, Words(metric="f1"))
    assert (new.task.options, new.metric) == ((), "f1")
    assert "mine: scored by f1, so answers are free text." in new.notes
    named = read(path, Words(metric="f1", options=("yes", "no")))
    assert (named.task.options, named.metric) == (("yes", "no"), "f1")


def test_answers_that_are_no_options_may_be_few_and_of_any_form(tmp_path):
    path = write(tmp_path / "data.jsonl", pairs(40, ("yes", "no\nnever", "!")))
    assert read(path, Words(metric="f1")).task.options == ()


def test_one_train_text_is_too_few_to_set_stop_rows_aside(tmp_path):
    write(tmp_path / "train.jsonl", pairs(1))
    write(tmp_path / "test.jsonl", pairs(30, word="other"))
    with pytest.raises(InputError, match="1 distinct train text; stop rows"):
        read(tmp_path)


def test_an_option_that_no_train_row_has_is_said(tmp_path):
    path = write(tmp_path / "data.jsonl", pairs(40))
    new = read(path, Words(options=("yes", "no", "maybe")))
    assert "mine: no train row has the label 'maybe', so it is not learned." in new.notes


def test_columns_may_have_other_names(tmp_path):
    path = write(tmp_path / "data.csv", pairs(40), ("message", "queue"))
    assert sizes(read(path, Words(text="message", label="queue"))) == (28, 4, 8)


@pytest.mark.parametrize(
    ("rows", "words", "said"),
    [
        ([], {}, "no rows"),
        (pairs(40, ("yes",)), {}, "all 40 rows of .* have the label 'yes'"),
        (pairs(19), {}, "has 19 distinct texts, the least is 20: one in 10 tells when to stop"),
        ([("text", "yes"), ("Text!", "yes")] * 20, {}, "has 1 distinct texts"),
        (
            pairs(40),
            {"options": ("yes", "nope")},
            "line 2: label 'no' is not .*did you mean 'nope'",
        ),
        (pairs(40), {"text": "texts"}, "mine.text: column 'texts' .*did you mean 'text'"),
    ],
)
def test_what_is_wrong_with_the_rows_is_said_in_one_line(tmp_path, rows, words, said):
    path = write(tmp_path / "data.jsonl", rows)
    with pytest.raises(InputError, match=said) as error:
        read(path, Words(**words))
    assert "\n" not in str(error.value)


def test_train_texts_that_are_all_test_texts_leave_nothing_to_learn(tmp_path):
    write(tmp_path / "train.jsonl", pairs(40))
    write(tmp_path / "test.jsonl", pairs(40))
    with pytest.raises(InputError, match=r"all train texts of .* are dev or test texts as well"):
        read(tmp_path)


def test_rows_to_score_are_all_of_a_file_however_few_and_alike(tmp_path):
    given = [("a text", "yes"), ("a text", "yes"), ("A text!", "no")]
    words = Words(options=("yes", "no", "maybe"))
    found = read_rows("mine", write(tmp_path / "data.csv", given), words)
    assert [(row.text, row.label) for row in found] == given
    write(tmp_path / "wrong.csv", [("a text", "perhaps")])
    with pytest.raises(InputError, match="label 'perhaps' is not among the options"):
        read_rows("mine", tmp_path / "wrong.csv", words)


def test_rows_to_score_are_the_test_rows_where_there_are_any(tmp_path):
    for split in ("train", "dev", "test"):
        write(tmp_path / "both" / f"{split}.jsonl", pairs(4, word=split))
        if split != "test":
            write(tmp_path / "one" / f"{split}.jsonl", pairs(4, word=split))
    for folder, word in (("both", "test"), ("one", "dev")):
        found = read_rows("mine", tmp_path / folder, WORDS)
        assert [row.text for row in found] == [f"{word} {i}" for i in range(4)]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("nowhere.csv", "nowhere.csv: no such file or folder"),
        ("billing", "billing: no such file or folder"),
        ("quickstrat", "did you mean 'quickstart/"),
        ("quickstart/smss", "no built-in task 'smss'; did you mean 'sms'"),
        ("quickstart/nothing", "it is one of sms, bbc, movies, questions, headlines, trivia"),
    ],
)
def test_data_that_are_not_there_are_said_with_the_nearest_name(data, said):
    with pytest.raises(InputError, match=said):
        read(data)


def test_the_nearest_file_is_named(tmp_path):
    write(tmp_path / "billing.csv", pairs(40))
    with pytest.raises(InputError, match=r"did you mean 'billing\.csv'"):
        read(tmp_path / "biling.csv")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("org/set", {"hub": "org/set"}),
        ("org/set@main", {"hub": "org/set", "revision": "main"}),
        ("org/set:en", {"hub": "org/set", "hub_config": "en"}),
        (
            "org/my.set@refs/convert/parquet:20220301.en",
            {"hub": "org/my.set", "revision": "refs/convert/parquet", "hub_config": "20220301.en"},
        ),
    ],
)
def test_a_hub_id_may_name_a_revision_and_a_configuration(data, expected):
    assert hub_settings(data, SETTINGS) == expected


def test_of_the_hub_no_more_is_read_than_may_be_needed():
    assert hub_settings("org/set", SETTINGS.replace(max_train=600))["most_train"] == 1250


def test_a_hub_data_set_that_cannot_be_had_is_said_with_what_was_looked_for():
    with pytest.raises(InputError, match="org/set: no file or folder, and no data set to be had"):
        read("org/set")


@pytest.mark.parametrize("part", BUILT_IN)
def test_a_built_in_task_is_read_by_its_name(part):
    wheel = BUILT_IN[part].filename
    if not (cache_folder() / "wheels" / wheel).is_file():
        pytest.skip(f"not in the cache: {wheel}")
    new = read_task("other", f"quickstart/{part}", Words(), SETTINGS)
    free = not BUILT_IN[part].options
    per, count = BUILT_IN[part].per_label, max(1, len(BUILT_IN[part].options))
    assert sizes(new) == (per[0] * count, min(200, per[1] * count), min(200, per[2] * count))
    assert new.task.name == "other"
    assert new.task.instruction == BUILT_IN[part].instruction
    assert new.metric == ("f1" if free else "exact")
    assert new.duplicates == 0
    asked = read_task("other", f"quickstart/{part}", Words(instruction="So?"), SETTINGS)
    assert asked.task == replace(new.task, instruction="So?")
    with pytest.raises(InputError, match="no columns"):
        read_task("other", f"quickstart/{part}", Words(text="message"), SETTINGS)
