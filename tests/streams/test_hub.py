"""Parquet files and hub data sets; a local folder in a repository's layout stands for the hub."""

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from amlora.errors import InputError
from amlora.streams.load import load_stream
from amlora.streams.settings import StreamSettings, TaskSettings

datasets = pytest.importorskip("datasets", reason="needs the extra amlora[data]")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep the library's cache out of the user's."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


def rows(split: str, count: int) -> dict[str, list[object]]:
    return {
        "sentence": [f"{split} {i}" for i in range(count)],
        "kind": [i % 2 for i in range(count)],
    }


def dataset(split: str, count: int, *, unlabelled: int = 0):
    values = rows(split, count)
    values["kind"][:unlabelled] = [-1] * unlabelled
    features = datasets.Features(
        {
            "sentence": datasets.Value("string"),
            "kind": datasets.ClassLabel(names=["bad", "good"]),
        }
    )
    return datasets.Dataset.from_dict(values, features=features)


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    (folder / "data").mkdir(parents=True)
    for split, count in (("train", 10), ("validation", 4), ("test", 6)):
        dataset(split, count).to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def load(**fields):
    task = TaskSettings(name="t", text="sentence", label="kind", **fields)
    return load_stream(StreamSettings(tasks=(task,)))


def complaint(**fields) -> str:
    with pytest.raises(InputError) as caught:
        load(**fields)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_hub_repository_gives_its_splits_and_the_names_of_its_class_labels(repository):
    stream, warnings = load(hub=str(repository))
    (task,) = stream.tasks
    assert (len(task.train), len(task.dev), len(task.test)) == (10, 4, 6)
    assert (task.options, warnings) == (("bad", "good"), [])
    assert {(e.text, e.label) for e in task.dev} == {
        (f"validation {i}", ("bad", "good")[i % 2]) for i in range(4)
    }


def test_a_repository_of_json_lines_loads_as_well(tmp_path):
    folder = tmp_path / "lines"
    folder.mkdir()
    for split in ("train", "test"):
        lines = [json.dumps({"sentence": f"{split} {i}", "kind": "ab"[i % 2]}) for i in range(20)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    stream, warnings = load(hub=str(folder))
    (task,) = stream.tasks
    assert (len(task.train), len(task.dev), len(task.test)) == (18, 2, 20)
    assert warnings == [
        "t: no dev rows given; 2 of the train rows were set aside for dev (sample_seed 0)."
    ]


def test_splits_may_be_named_and_sliced(repository):
    stream, _ = load(hub=str(repository), train="train[:6]", dev="train[6:]", test="validation")
    (task,) = stream.tasks
    assert (len(task.train), len(task.dev), len(task.test)) == (6, 4, 4)


def test_rows_that_the_hub_marks_unlabelled_are_dropped(repository):
    dataset("test", 6, unlabelled=2).to_parquet(repository / "data" / "test-00000-of-00001.parquet")
    stream, warnings = load(hub=str(repository))
    assert len(stream.tasks[0].test) == 4
    assert warnings == ["t: 2 test rows without a label were dropped."]


def test_an_unknown_split_is_named_with_those_there_are(repository):
    assert complaint(hub=str(repository), dev="validaton") == (
        f"stream.tasks[0].dev: {repository} has no split 'validaton'; it has"
        " train, validation, test; did you mean 'validation'?"
    )


def test_an_unknown_configuration_is_named(repository):
    assert complaint(hub=str(repository), hub_config="en").startswith(
        "stream.tasks[0].hub: BuilderConfig 'en' not found"
    )


def test_a_data_set_that_is_not_there_is_named(tmp_path):
    assert complaint(hub=str(tmp_path / "none")).startswith("stream.tasks[0].hub: Couldn't find")


def hub_folder(tmp_path, name="set", **texts: str) -> str:
    folder = tmp_path / name
    folder.mkdir()
    for file, text in texts.items():
        (folder / file.replace("_", ".")).write_text(text)
    return str(folder)


def test_a_folder_that_was_rewritten_with_its_old_time_is_read_anew(repository):
    path = repository / "data" / "train-00000-of-00001.parquet"
    first = load(hub=str(repository))[0].digest()
    times = path.stat()
    values = rows("other", 10)
    datasets.Dataset.from_dict(values, features=dataset("x", 1).features).to_parquet(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    task = load(hub=str(repository))[0]
    assert task.digest() != first
    assert all(example.text.startswith("other ") for example in task.tasks[0].train)


def test_a_parquet_file_that_was_rewritten_with_its_old_time_is_read_anew(tmp_path):
    path = tmp_path / "train.parquet"
    for word in ("first", "later"):
        datasets.Dataset.from_dict(rows(word, 10)).to_parquet(path)
        os.utime(path, ns=(1, 1))
        stream, _ = load(source=str(path))
        assert all(example.text.startswith(word) for example in stream.tasks[0].train)


def test_cells_of_a_csv_repository_stay_as_they_are_written(tmp_path):
    labels = ("None", "N/A", "NA", "null", "01", "1", "001", "")
    lines = [f"text {i},{labels[i % 8]}" for i in range(40)]
    hub = hub_folder(tmp_path, train_csv="\n".join(["sentence,kind", *lines]))
    answers = {label: f"kind {number}" for number, label in enumerate(labels)}
    (task,) = load(hub=hub, answers=answers)[0].tasks
    found = Counter(example.label for example in (*task.train, *task.dev, *task.test))
    assert found == {f"kind {number}": 5 for number in range(8)}


def test_the_settings_in_a_repositorys_readme_count(tmp_path):
    card = """---
configs:
- config_name: default
  data_files: {split}.csv
  sep: ';'
---
"""
    lines = "".join(f"text {i};0{i % 2}\n" for i in range(20))
    card = card.format(split="rows")
    hub = hub_folder(tmp_path, README_md=card, rows_csv="sentence;kind\n" + lines)
    assert load(hub=hub, answers={"00": "no", "01": "yes"})[0].tasks[0].options == ("no", "yes")


CONFIGS = """---
configs:
- config_name: en
  data_files: a.csv
- config_name: de
  data_files: b.csv
---
"""


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (
            {"set_py": "raise SystemExit\n"},
            ".hub: Dataset scripts are no longer supported, but found set.py; the hub keeps many",
        ),
        (
            {"README_md": CONFIGS, "a_csv": "sentence,kind\na,b\n", "b_csv": "sentence,kind\n"},
            ".hub: it has several configurations; name one by hub_config: ['en', 'de'].",
        ),
        ({"train_csv": "sentence,kind\n"}, ".hub: no rows."),
        ({"train_jsonl": ""}, ".hub: The split names could not be parsed"),
        (
            {"train_jsonl": '{"kind": 1}\n{"kind"'},
            ".train: An error occurred while generating the dataset: JSON parse error",
        ),
    ],
    ids=["script", "configurations", "header alone", "empty", "broken"],
)
def test_a_repository_that_cannot_be_read_says_why_in_one_line(tmp_path, texts, expected):
    assert complaint(hub=hub_folder(tmp_path, **texts)).startswith(f"stream.tasks[0]{expected}")


def test_parquet_files_are_read_whatever_their_folder_is_called(tmp_path):
    folder = tmp_path / "odd [name] *"
    folder.mkdir()
    for split, count in (("train", 8), ("dev", 4), ("test", 6)):
        dataset(split, count).to_parquet(folder / f"{split}.parquet")
    stream, _ = load(source=str(folder))
    (task,) = stream.tasks
    assert (len(task.train), len(task.dev), len(task.test)) == (8, 4, 6)
    assert task.options == ("bad", "good")


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    path = tmp_path / "train.parquet"
    path.write_bytes(b"no parquet")
    assert complaint(source=str(tmp_path)).startswith(f"{path}: not a whole Parquet file: ")


def test_numbers_of_parquet_may_be_parts_of_a_text(tmp_path):
    values = {"stars": [1.0, None, 3.5], "n": [1, 2, 3], "label": ["a", "b", "a"]}
    datasets.Dataset.from_dict(values).to_parquet(tmp_path / "train.parquet")
    task = TaskSettings(name="t", train=str(tmp_path / "train.parquet"), forms=("{stars} {n}",))
    (loaded,) = load_stream(StreamSettings(tasks=(task,)))[0].tasks
    examples = (*loaded.train, *loaded.dev, *loaded.test)
    assert {example.text for example in examples} == {"1.0 1", " 2", "3.5 3"}


def test_without_the_library_the_extra_is_named(tmp_path):
    """In a process where `datasets` cannot be imported, as if it were not installed."""
    code = (
        "import sys; sys.modules['datasets'] = None\n"
        "from amlora.errors import InputError\n"
        "from amlora.streams.hub import import_datasets\n"
        "try: import_datasets('task.hub')\n"
        "except InputError as error: print(error)\n"
    )
    spec = importlib.util.find_spec("amlora")
    assert spec is not None and spec.submodule_search_locations is not None
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=f"{spec.submodule_search_locations[0]}/..",
    )
    assert done.stdout.strip() == (
        "task.hub: needs the library datasets: pip install 'amlora[data]'."
    )


def test_loading_own_files_does_not_import_the_library(tmp_path):
    lines = [json.dumps({"text": f"t {i}", "label": "ab"[i % 2]}) for i in range(20)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    code = (
        "import sys\n"
        "from amlora.streams.load import load_stream\n"
        "from amlora.streams.settings import StreamSettings, TaskSettings\n"
        f"load_stream(StreamSettings(tasks=(TaskSettings(name='t', source={str(tmp_path)!r}),)))\n"
        "print('datasets' in sys.modules or 'torch' in sys.modules)\n"
    )
    spec = importlib.util.find_spec("amlora")
    assert spec is not None and spec.submodule_search_locations is not None
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=f"{spec.submodule_search_locations[0]}/..",
    )
    assert (done.stdout.strip(), done.stderr) == ("False", "")
