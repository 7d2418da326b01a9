"""Paths in a settings file start from the file, others from the working directory."""

import os
from pathlib import Path
from typing import Any

import pytest

from amlora.experiment.settings import load_settings, resolved, to_toml

TASKS = """
[method]
name = "am_lora"
[stream]
[[stream.tasks]]
name = "a"
source = "data/a"
dev = "own.csv"
[[stream.tasks]]
name = "b"
train = "b.csv"
test = "/far/b.csv"
[[stream.tasks]]
name = "c"
source = "~/c"
[[stream.tasks]]
name = "d"
hub = "owner/name"
"""


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with a settings file; the working directory is the one above it."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    return folder


def tasks(path: Path, *overrides: str) -> list[dict[str, Any]]:
    used = ("source", "train", "dev", "test", "hub")
    stream = resolved(load_settings(path, overrides))["stream"]
    return [{key: task[key] for key in used if task[key]} for task in stream["tasks"]]


def written(path: Path, text: str = TASKS) -> Path:
    path.write_text(text)
    return path


def test_sources_start_from_the_file(place):
    own = written(place / "own.toml")
    assert tasks(own) == [
        {"source": f"{place}/data/a", "dev": "own.csv"},
        {"train": f"{place}/b.csv", "test": "/far/b.csv"},
        {"source": "~/c"},
        {"hub": "owner/name"},
    ]
    assert tasks(Path("project/own.toml"))[0]["source"] == "project/data/a"


def test_in_the_working_directory_nothing_changes(place, monkeypatch):
    monkeypatch.chdir(place)
    written(place / "own.toml")
    assert tasks(Path("own.toml"))[0]["source"] == "data/a"


def test_overrides_start_from_the_working_directory(place):
    own = written(place / "own.toml")
    [first, second, *_] = tasks(own, "stream.tasks[0].source=mine", "stream.tasks[1].test=t.csv")
    assert (first["source"], second["train"], second["test"]) == ("mine", f"{place}/b.csv", "t.csv")
    settings = load_settings(own, ["stream.data_root=root"])
    assert settings.stream.data_root == "root"
    assert settings.stream.tasks[0].source == "data/a"


def test_a_data_root_starts_from_the_file_and_sources_from_it(place):
    text = TASKS.replace("[stream]", '[stream]\ndata_root = "root"')
    stream = load_settings(written(place / "own.toml", text)).stream
    assert stream.data_root == f"{place}/root"
    assert stream.tasks[0].source == "data/a"
    text = TASKS.replace("[stream]", '[stream]\ndata_root = "$SOME/root"')
    assert load_settings(written(place / "own.toml", text)).stream.data_root == "$SOME/root"


def test_a_model_or_data_set_is_a_path_where_the_files_folder_has_it(place):
    text = '[model]\nname = "base/model"\n[evaluate]\ngeneral = "texts.toml"\n' + TASKS
    own = written(place / "own.toml", text)
    found = load_settings(own)
    assert (found.model.name, found.evaluate.general) == ("base/model", f"{place}/texts.toml")
    for folder in ("base/model", "owner/name"):
        os.makedirs(place / folder)
    assert load_settings(own).model.name == f"{place}/base/model"
    assert tasks(own)[3] == {"hub": f"{place}/owner/name"}
    builtin = text.replace("texts.toml", "builtin")
    assert load_settings(written(own, builtin)).evaluate.general == "builtin"


def test_settings_that_were_written_keep_their_paths_wherever_they_lie(place):
    first = load_settings(Path(written(Path("project/own.toml"))))
    os.makedirs("runs/some")
    stored = written(Path("runs/some/config.toml"), to_toml(first))
    assert load_settings(stored) == first
