"""Own files and the reference layout become tasks; what cannot be loaded is named."""

import json
from collections import Counter

import pytest

from amlora.streams import catalogue
from amlora.streams.load import load_stream
from amlora.streams.settings import StreamSettings, TaskSettings
from refused import refusal

SPLITS = ("train", "dev", "test")


def load(*tasks, **fields):
    return load_stream(StreamSettings(tasks=tasks, **fields))


def one(task, **fields):
    """The only task."""
    (loaded,) = load(task, **fields)[0].tasks
    return loaded


def sizes(task) -> tuple[int, int, int]:
    return len(task.train), len(task.dev), len(task.test)


def complaint(*tasks, **fields) -> str:
    return refusal(load, *tasks, **fields)


@pytest.fixture
def write_rows(tmp_path, write):
    """Write rows as a task's train split, and return its settings."""

    def make(rows, **fields):
        write("t/train.json", json.dumps(rows))
        return TaskSettings(name="t", source=str(tmp_path / "t"), **fields)

    return make


@pytest.fixture
def reference(write):
    """Two tasks of order 1's four, in the reference layout, and the folder they are in."""
    for folder, labels in (("SC/amazon", ["negative", "very negative"]), ("NLI/MNLI", ["a", "b"])):
        for split in SPLITS:
            rows = [
                {"sentence": f"{split} {i} {label}", "label": label}
                for i in range(3)
                for label in (*labels, "-")
            ]
            write(f"data/{folder}/{split}.json", json.dumps(rows))
        path = write(f"data/{folder}/labels.json", json.dumps(labels))
    return path.parents[2]


def test_own_files_become_a_task(write_task):
    stream, warnings = load(write_task(), name="mine")
    (task,) = stream.tasks
    assert (stream.name, warnings) == ("mine", [])
    assert sizes(task) == (20, 4, 6)
    assert task.options == ("no", "yes")
    assert {example.row for example in task.test} == {f"test:{i}" for i in range(6)}


def test_all_kinds_of_file_give_the_same_task(tmp_path, write):
    rows = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(9)]
    written = {
        "csv": "text,label\n" + "".join(f"{r['text']},{r['label']}\n" for r in rows),
        "json": json.dumps(rows),
        "jsonl": "".join(json.dumps(r) + "\n" for r in rows),
    }
    digests = set()
    for kind, text in written.items():
        for split in SPLITS:
            write(f"{kind}/{split}.{kind}", text)
        digests.add(one(TaskSettings(name="t", source=str(tmp_path / kind))).digest())
    assert len(digests) == 1


def test_a_file_may_be_named_for_each_split(tmp_path, write_task):
    write_task("fruit")
    folder = tmp_path / "fruit"
    (folder / "test.jsonl").rename(folder / "held-out.jsonl")
    assert sizes(one(TaskSettings(name="t", source=str(folder), test="held-out.jsonl")))[2] == 6


@pytest.mark.parametrize("name", ["val.jsonl", "valid.jsonl", "validation.jsonl", "Dev.JSONL"])
def test_dev_rows_are_found_by_their_usual_names(tmp_path, write_task, name):
    task = write_task()
    (tmp_path / "fruit" / "dev.jsonl").rename(tmp_path / "fruit" / name)
    stream, warnings = load(task)
    assert (sizes(stream.tasks[0]), warnings) == ((20, 4, 6), [])


@pytest.mark.parametrize(
    ("name", "both"),
    [("val.jsonl", "dev.jsonl and val.jsonl"), ("dev.csv", "dev.csv and dev.jsonl")],
)
def test_two_files_for_one_split_are_refused(write, write_task, name, both):
    task = write_task()
    write(f"fruit/{name}", '{"text": "a", "label": "yes"}')
    assert f"has {both}; name one by stream.tasks[0].dev." in complaint(task)


def test_true_is_one_of_the_answers_whatever_the_file_is(write_rows):
    rows = [{"text": f"text {i}", "label": i % 2 == 0} for i in range(20)]
    task = one(write_rows(rows, options=("true", "false")))
    assert {example.label for example in task.train} == {"true", "false"}


def test_a_source_that_is_one_file_is_the_train_split(tmp_path, write_task):
    write_task("fruit", train=40)
    task = TaskSettings(name="t", source="fruit/train.jsonl", dev="dev.jsonl", test="test.jsonl")
    stream, warnings = load(task, data_root=str(tmp_path))
    assert (sizes(stream.tasks[0]), warnings) == ((40, 4, 6), [])


def test_missing_dev_and_test_rows_are_set_aside_disjoint_and_told(write_task):
    stream, warnings = load(write_task(train=100, dev=0, test=0))
    (task,) = stream.tasks
    assert sizes(task) == (72, 8, 20)
    assert Counter(example.label for example in task.test) == {"yes": 10, "no": 10}
    everything = (*task.train, *task.dev, *task.test)
    assert len({example.text for example in everything}) == 100
    assert {example.row for example in everything} == {f"train:{i}" for i in range(100)}
    assert warnings == [
        "fruit: no test rows given; 20 of the train rows were set aside for test (sample_seed 0).",
        "fruit: no dev rows given; 8 of the train rows were set aside for dev (sample_seed 0).",
    ]


def test_dev_rows_may_be_set_aside_although_the_source_has_some(write_task):
    """The reference's dev rows are its test rows."""
    stream, warnings = load(write_task(train=100, dev=30, test=20), dev_from="train")
    assert sizes(stream.tasks[0]) == (90, 10, 20)
    assert all(example.row.startswith("train:") for example in stream.tasks[0].dev)
    assert warnings == [
        "fruit: no dev rows taken; 10 of the train rows were set aside for dev (sample_seed 0)."
    ]


def test_samples_do_not_depend_on_the_other_tasks(write_task):
    first, second = write_task("first"), write_task("second")
    together, _ = load(first, second, train_per_class=3)
    assert one(second, train_per_class=3) == together.tasks[1]


def test_limits_hold_for_each_split(write_task):
    limits = {"train_per_class": 6, "train_per_task": 7, "dev_per_class": 2}
    limits |= {"test_per_class": 4, "test_per_task": 5}
    assert sizes(one(write_task(train=40, dev=20, test=20), **limits)) == (7, 4, 5)


def test_many_different_answers_are_free_text_and_told(write_rows):
    rows = [{"prompt": f"say {i}", "completion": f"word {i}"} for i in range(30)]
    stream, warnings = load(write_rows(rows))
    assert stream.tasks[0].options == ()
    assert warnings[0] == (
        "t: no options given and 30 different answers in 30 train rows, so answers are free text."
    )


@pytest.mark.parametrize(("count", "options"), [(50, 50), (51, 0)])
def test_up_to_fifty_labels_are_options(write_rows, count, options):
    rows = [{"text": f"text {i}", "label": f"l{i % count:02}"} for i in range(4 * count)]
    assert len(one(write_rows(rows)).options) == options


def test_a_task_knows_the_columns_that_its_texts_come_from(write_rows):
    rows = [{"prompt": f"say {i}", "completion": "ab"[i % 2]} for i in range(30)]
    assert one(write_rows(rows)).text_column == "prompt"
    forms = ("{prompt}!",)
    task = one(write_rows(rows, forms=forms, label="completion"))
    assert (task.text_column, task.forms) == ("text", forms)


def test_a_label_of_the_test_rows_that_train_lacks_is_named(tmp_path, write, write_task):
    task = write_task()
    path = write("fruit/test.jsonl", '{"text": "a", "label": "yes"}\n{"text": "b", "label": "yse"}')
    assert complaint(task) == (
        f"{path}: line 2: label 'yse' is not among the options of"
        f" {tmp_path / 'fruit' / 'train.jsonl'}: 'no', 'yes'; did you mean 'yes'?"
    )


def test_train_labels_that_exact_match_cannot_tell_apart_are_refused(tmp_path, write_rows):
    rows = [{"text": f"text {i}", "label": ("Yes", "yes.")[i % 2]} for i in range(8)]
    assert complaint(write_rows(rows)) == (
        f"{tmp_path / 't' / 'train.json'}: labels: option 'yes.' equals 'Yes' without case,"
        " punctuation and white space."
    )


def test_an_empty_file_is_refused(write, write_task):
    task = write_task()
    path = write("fruit/dev.jsonl", "\n")
    assert complaint(task) == f"{path}: no rows."


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"source": "friut"}, ".source: ROOT/friut: no such file or folder; did you mean 'fruit'?"),
        ({"source": "fruit", "dev": "tset.jsonl"}, ".dev: ROOT/fruit/tset.jsonl: no such file"),
        (
            {"source": "empty"},
            ".source: ROOT/empty has no train file; expected one of train.jsonl, train.json,"
            " train.csv, train.tsv, train.parquet.",
        ),
    ],
)
def test_what_is_not_there_is_named_by_its_setting(tmp_path, write_task, fields, expected):
    write_task("fruit")
    (tmp_path / "empty").mkdir()
    said = complaint(TaskSettings(name="t", **fields), data_root=str(tmp_path))
    assert said.startswith(f"stream.tasks[0]{expected}".replace("ROOT", str(tmp_path)))


def test_a_stream_without_tasks_says_what_to_give():
    assert complaint().startswith("stream: no tasks; give name = 'quickstart', an order")


def test_the_reference_layout_gives_options_category_and_data_set(reference):
    task = TaskSettings(name="x", source="NLI/MNLI")
    stream, warnings = load(task, data_root=str(reference), prefix="task+dataset")
    (loaded,) = stream.tasks
    assert (loaded.category, loaded.dataset, loaded.options) == ("NLI", "MNLI", ("a", "b"))
    assert warnings == [f"x: 3 {split} rows without a label were dropped." for split in SPLITS]
    stream, warnings = load(task, data_root=str(reference), drop_unlabelled=False)
    assert Counter(example.label for example in stream.tasks[0].test) == {"a": 3, "b": 3, "-": 3}
    assert warnings == []


def test_the_data_root_may_begin_with_an_environment_variable(reference, monkeypatch):
    task = TaskSettings(name="x", source="NLI/MNLI")
    monkeypatch.setenv("SOME_DATA", str(reference.parent))
    named = one(task, data_root=f"$SOME_DATA/{reference.name}")
    assert named.digest() == one(task, data_root=str(reference)).digest()
    monkeypatch.delenv("SOME_DATA")
    text = complaint(task, data_root="$SOME_DATA/x")
    assert text.startswith("stream.data_root: the environment variable SOME_DATA is not set")


def test_an_order_reads_the_papers_tasks_and_names_the_first_that_is_missing(reference):
    missing = f"{reference / 'TC' / 'dbpedia'}: no such file or folder"
    said = complaint(order="1", data_root=str(reference))
    assert said.startswith(f"stream.order '1', dbpedia.source: {missing}")


def test_an_order_may_list_the_papers_tasks(tmp_path, write):
    for folder in ("SC/yelp", "NLI/CB"):
        entry = next(each for each in catalogue.entries().values() if each.folder == folder)
        write(f"{folder}/labels.json", json.dumps(list(entry.labels)))
        rows = [{"sentence": f"text {i}", "label": label} for i, label in enumerate(entry.labels)]
        for split in SPLITS:
            write(f"{folder}/{split}.json", json.dumps(rows))
    stream, _ = load_stream(StreamSettings(order="yelp, cb", data_root=str(tmp_path)))
    assert [task.name for task in stream.tasks] == ["yelp", "cb"]
    assert stream.tasks[0].instruction == catalogue.entries()["yelp"].instruction


def test_a_prefix_needs_a_category(write_rows):
    task = write_rows([{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(9)])
    assert complaint(task, prefix="task") == (
        "stream.tasks[0].category: empty, but stream.prefix = 'task' puts it into prompts."
    )
