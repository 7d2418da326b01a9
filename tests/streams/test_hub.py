"""Parquet files and hub data sets; a local folder in a repository's layout stands for the hub."""

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from amlora.streams.load import load_stream
from amlora.streams.settings import StreamSettings, TaskSettings
from refused import refusal

datasets = pytest.importorskip("datasets", reason="needs the extra amlora[data]")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep the library's cache out of the user's."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


def dataset(split: str, count: int, *, unlabelled: int = 0):
    kinds = [-1] * unlabelled + [i % 2 for i in range(unlabelled, count)]
    values = {"sentence": [f"{split} {i}" for i in range(count)], "kind": kinds}
    names = datasets.ClassLabel(names=["bad", "good"])
    features = datasets.Features({"sentence": datasets.Value("string"), "kind": names})
    return datasets.Dataset.from_dict(values, features=features)


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    (folder / "data").mkdir(parents=True)
    for split, count in (("train", 10), ("validation", 4), ("test", 6)):
        dataset(split, count).to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


@pytest.fixture
def hub_folder(tmp_path):
    """Write a repository of text files; "_" in a name stands for a point."""

    def make(**texts: str) -> str:
        folder = tmp_path / "set"
        folder.mkdir()
        for file, text in texts.items():
            (folder / file.replace("_", ".")).write_text(text)
        return str(folder)

    return make


def load(**fields):
    task = TaskSettings(name="t", text="sentence", label="kind", **fields)
    stream, warnings = load_stream(StreamSettings(tasks=(task,)))
    return stream.tasks[0], warnings


def sizes(task) -> tuple[int, int, int]:
    return len(task.train), len(task.dev), len(task.test)


def complaint(**fields) -> str:
    return refusal(load, **fields)


def test_a_hub_repository_gives_its_splits_and_the_names_of_its_class_labels(repository):
    task, warnings = load(hub=str(repository))
    assert sizes(task) == (10, 4, 6)
    assert (task.options, warnings) == (("bad", "good"), [])
    assert {(e.text, e.label) for e in task.dev} == {
        (f"validation {i}", ("bad", "good")[i % 2]) for i in range(4)
    }


def test_a_repository_of_json_lines_loads_as_well(hub_folder):
    lines = {
        f"{split}_jsonl": "\n".join(
            json.dumps({"sentence": f"{split} {i}", "kind": "ab"[i % 2]}) for i in range(20)
        )
        for split in ("train", "test")
    }
    task, warnings = load(hub=hub_folder(**lines))
    assert sizes(task) == (18, 2, 20)
    assert warnings == [
        "t: no dev rows given; 2 of the train rows were set aside for dev (sample_seed 0)."
    ]


def test_splits_may_be_named_and_sliced(repository):
    named = {"train": "train[:6]", "dev": "train[6:]", "test": "validation"}
    assert sizes(load(hub=str(repository), **named)[0]) == (6, 4, 4)


def test_rows_that_the_hub_marks_unlabelled_are_dropped(repository):
    dataset("test", 6, unlabelled=2).to_parquet(repository / "data" / "test-00000-of-00001.parquet")
    task, warnings = load(hub=str(repository))
    assert len(task.test) == 4
    assert warnings == ["t: 2 test rows without a label were dropped."]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"dev": "validaton"},
            ".dev: HUB has no split 'validaton'; it has train, validation, test; did you mean"
            " 'validation'?",
        ),
        ({"hub_config": "en"}, ".hub: BuilderConfig 'en' not found"),
        ({"hub": "/no/such/folder"}, ".hub: Couldn't find"),
    ],
)
def test_what_the_hub_lacks_is_named(repository, fields, expected):
    said = complaint(**{"hub": str(repository), **fields}).replace(str(repository), "HUB")
    assert said.startswith(f"stream.tasks[0]{expected}")


def test_files_that_were_rewritten_with_their_old_time_are_read_anew(repository, tmp_path):
    of_hub, own = repository / "data" / "train-00000-of-00001.parquet", tmp_path / "train.parquet"
    for word in ("first", "later"):
        for path, fields in ((of_hub, {"hub": str(repository)}), (own, {"source": str(own)})):
            dataset(word, 10).to_parquet(path)
            os.utime(path, ns=(1, 1))
            task, _ = load(**fields)
            assert all(example.text.startswith(f"{word} ") for example in task.train)


def test_cells_of_a_csv_repository_stay_as_they_are_written(hub_folder):
    labels = ("None", "N/A", "NA", "null", "01", "1", "001", "")
    lines = [f"text {i},{labels[i % 8]}" for i in range(40)]
    hub = hub_folder(train_csv="\n".join(["sentence,kind", *lines]))
    answers = {label: f"kind {number}" for number, label in enumerate(labels)}
    task, _ = load(hub=hub, answers=answers)
    found = Counter(example.label for example in (*task.train, *task.dev, *task.test))
    assert found == {f"kind {number}": 5 for number in range(8)}


def test_the_settings_in_a_repositorys_readme_count(hub_folder):
    configs = "configs:\n- config_name: default\n  data_files: rows.csv\n  sep: ';'\n"
    lines = "".join(f"text {i};0{i % 2}\n" for i in range(20))
    hub = hub_folder(README_md=f"---\n{configs}---\n", rows_csv=f"sentence;kind\n{lines}")
    assert load(hub=hub, answers={"00": "no", "01": "yes"})[0].options == ("no", "yes")


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
def test_a_repository_that_cannot_be_read_says_why_in_one_line(hub_folder, texts, expected):
    assert complaint(hub=hub_folder(**texts)).startswith(f"stream.tasks[0]{expected}")


def test_parquet_files_are_read_whatever_their_folder_is_called(tmp_path):
    folder = tmp_path / "odd [name] *"
    folder.mkdir()
    for split, count in (("train", 8), ("dev", 4), ("test", 6)):
        dataset(split, count).to_parquet(folder / f"{split}.parquet")
    task, _ = load(source=str(folder))
    assert (sizes(task), task.options) == ((8, 4, 6), ("bad", "good"))


def test_numbers_of_parquet_may_be_parts_of_a_text(tmp_path):
    values = {"stars": [1.0, None, 3.5], "n": [1, 2, 3], "label": ["a", "b", "a"]}
    datasets.Dataset.from_dict(values).to_parquet(tmp_path / "train.parquet")
    task = TaskSettings(name="t", train=str(tmp_path / "train.parquet"), forms=("{stars} {n}",))
    (loaded,) = load_stream(StreamSettings(tasks=(task,)))[0].tasks
    examples = (*loaded.train, *loaded.dev, *loaded.test)
    assert {example.text for example in examples} == {"1.0 1", " 2", "3.5 3"}


def printed(code: str) -> str:
    """What a new process prints."""
    spec = importlib.util.find_spec("amlora")
    assert spec is not None and spec.submodule_search_locations is not None
    above = f"{spec.submodule_search_locations[0]}/.."
    run = [sys.executable, "-c", code]
    return subprocess.run(run, capture_output=True, text=True, cwd=above, check=True).stdout.strip()


def test_without_the_library_the_extra_is_named():
    """In a process where `datasets` cannot be imported, as if it were not installed."""
    code = (
        "import sys; sys.modules['datasets'] = None\n"
        "from amlora.errors import InputError\n"
        "from amlora.streams.hub import read_hub\n"
        "from amlora.streams.settings import TaskSettings\n"
        "try: read_hub(TaskSettings(name='t', hub='a/b'), 'task', 0)\n"
        "except InputError as error: print(error)\n"
    )
    assert printed(code) == "task.hub: needs the library datasets: pip install 'amlora[data]'."


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
    assert printed(code) == "False"
