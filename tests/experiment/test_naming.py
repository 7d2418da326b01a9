"""A run's name follows from its settings; what else decides it is compared where it goes on."""

import json
import os
import shutil
from pathlib import Path

import pytest

from amlora import files
from amlora.errors import InputError
from amlora.experiment.naming import run_name
from amlora.experiment.plan import plan
from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings, load_settings, resolved, settings_from
from amlora.experiment.stop import Interrupted
from amlora.methods.lora import LoRAMethod
from small_run import small_settings, write_rows, write_tasks
from stopped import StopAt
from tiny import tiny_llama


def made(**tables: object) -> RunSettings:
    own = {"name": "own", "method": {"name": "am_lora"}, "stream": {"name": "quickstart"}}
    return settings_from({**own, **tables})


def test_a_name_says_name_method_and_seed_and_a_hash_of_the_rest():
    name = run_name(made(seed=3))
    assert name.startswith("own-am_lora-") and name.endswith("-3")
    assert run_name(made(name="other", seed=4)) == name.replace("own", "other")[:-1] + "4"
    assert run_name(made(train={"lr": 0.5})) != run_name(made())
    assert run_name(made(method={"name": "am_lora", "gain": "loras"})) != run_name(made())


def test_defaults_that_are_written_out_are_no_other_settings():
    given = made(method={"name": "am_lora", "lora": {"rank": 4}})
    assert run_name(settings_from(resolved(given))) == run_name(given)


def test_where_files_lie_is_no_part_of_a_name(tmp_path, monkeypatch):
    text = """
    [model]
    name = "models/tiny"
    [method]
    name = "sin_lora"
    [stream]
    tasks = [{name = "a", source = "data/a"}, {name = "b", train = "b.csv"}]
    """
    names = set()
    for place in ("here", "there/deep"):
        (folder := tmp_path / place / "models" / "tiny").mkdir(parents=True)
        (tmp_path / place / "run.toml").write_text(text)
        monkeypatch.chdir(tmp_path)
        names.add(run_name(load_settings(tmp_path / place / "run.toml")))
        names.add(run_name(load_settings(Path(place) / "run.toml")))
        monkeypatch.chdir(folder.parents[1])
        names.add(run_name(load_settings(Path("run.toml"))))
    assert len(names) == 1


@pytest.fixture
def place(tmp_path, llama_folder) -> Path:
    """A folder with a settings file, two tasks and a model that may be changed."""
    write_tasks(tmp_path / "data", rows=1)
    shutil.copytree(llama_folder, tmp_path / "model")
    text = small_settings(tmp_path / "data", tmp_path / "model").replace("steps = 3", "steps = 1")
    (tmp_path / "small.toml").write_text(text)
    return tmp_path


def begun(place: Path, *, finished: bool) -> Path:
    """Run, to the end or into the second stage, and return the run's folder."""
    settings = load_settings(place / "small.toml")
    if finished:
        return run(settings, runs=place / "runs")
    with pytest.raises(Interrupted):
        run(settings, runs=place / "runs", progress=StopAt(2))
    return place / "runs" / run_name(settings)


def refused(place: Path, folder: Path) -> str:
    """Return why the run does not go on, having checked that starting over does."""
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(InputError) as caught:
        run(load_settings(place / "small.toml"), runs=place / "runs")
    assert sorted(path.name for path in folder.iterdir()) == before
    text = str(caught.value)
    assert text.startswith(f"{folder}: ") and "--force starts it anew" in text
    return text.removeprefix(f"{folder}: ")


@pytest.mark.parametrize("finished", [False, True], ids=["begun", "finished"])
def test_a_run_of_changed_data_does_not_go_on(place, finished):
    folder = begun(place, finished=finished)
    assert plan(load_settings(place / "small.toml"))["run"] == folder.name
    [name, *_] = sorted(os.listdir(place / "data"))
    path = place / "data" / name / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_rows(path, [{**rows[0], "text": "new"}, *rows[1:]])
    assert refused(place, folder).startswith(f"the data of task {name!r} changed since this run")
    assert run(load_settings(place / "small.toml"), runs=place / "runs", force=True) == folder


@pytest.mark.parametrize("finished", [False, True], ids=["begun", "finished"])
def test_a_run_of_other_weights_or_of_another_version_of_its_method_does_not_go_on(
    place, finished, monkeypatch
):
    folder = begun(place, finished=finished)
    monkeypatch.setattr(LoRAMethod, "version", 7)
    assert refused(place, folder).startswith("the method's version is 7, was ")
    monkeypatch.undo()
    files.discard(place / "model")
    tiny_llama(place / "model", seed=9)
    assert refused(place, folder).startswith("the model's weights changed since")


def test_the_settings_in_a_runs_folder_are_of_that_run(place, monkeypatch):
    folder = begun(place, finished=True)
    assert run_name(load_settings(folder / "config.toml")) == folder.name
    assert run(load_settings(folder / "config.toml"), runs=place / "runs") == folder
