"""What every run must do: the same record twice, whole after every stop, never done again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from amlora import files
from amlora.engine.checkpoint import COMMIT
from amlora.experiment.run import run
from amlora.experiment.settings import resolved, settings_from
from amlora.experiment.stop import Interrupted
from amlora.methods import method_class
from amlora.methods.base import Method
from amlora.streams.load import load_stream
from contract.conftest import tiny_settings
from general_texts import write_general
from killed import Kill, bits, killed
from stopped import Listening, StopAt

ONE_FAMILY = pytest.mark.parametrize(
    "any_folder", ["llama", pytest.param("t5", marks=pytest.mark.slow)], indirect=True
)
"""For tests that take a run or more for every case."""


@ONE_FAMILY
def test_the_same_seed_gives_the_same_record_bit_for_bit(settings, whole, tmp_path):
    again = run(settings, runs=tmp_path)
    assert bits(again) == bits(whole)
    assert again.name == whole.name


@ONE_FAMILY
def test_a_run_stopped_again_and_again_goes_on_to_the_same_record(settings, whole, tmp_path):
    for steps in (1, 3, 3):  # of a sequence: in the first stage, at its end, in the second one
        with pytest.raises(Interrupted):
            run(settings, runs=tmp_path, progress=StopAt(steps))
    folder = tmp_path / whole.name
    steps = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
    joint = method_class(settings.method.name).schedule == "joint"
    assert steps == ([1, 2, 3, 4, 5, 6, 7] if joint else [1, 2, 3, 4, 1, 2, 3])
    assert bits(run(settings, runs=tmp_path)) == bits(whole)


@ONE_FAMILY
def test_a_later_tasks_rows_change_nothing_of_what_was_before_it(
    any_folder, case, task_files, whole, tmp_path
):
    tasks = shutil.copytree(task_files, tmp_path / "tasks")
    path = tasks / "topic" / "train.jsonl"
    path.write_text(path.read_text().replace(" is ", " was never "))
    settings = tiny_settings(any_folder, tasks, case)
    altered = run(settings, runs=tmp_path / "runs")
    before, after = record(whole), record(altered)
    assert before["stream_digest"] != after["stream_digest"]
    joint = method_class(settings.method.name).schedule == "joint"
    earlier = 0 if joint else 1  # stages before the altered rows are read
    assert after["R"][: 1 + earlier] == before["R"][: 1 + earlier]
    assert after["stages"][:earlier] == before["stages"][:earlier]
    assert after["stages"][earlier]["losses"] != before["stages"][earlier]["losses"]
    assert answers(altered, earlier) == answers(whole, earlier)


@ONE_FAMILY
def test_texts_of_no_task_are_measured_twice_and_change_nothing_else(settings, whole, tmp_path):
    path = write_general(tmp_path / "general.toml")
    evaluate = settings.evaluate.replace(general=str(path))
    measuring = settings.replace(evaluate=evaluate)
    folder = run(measuring, runs=tmp_path)
    found, plain = record(folder), record(whole)
    general = found.pop("general")
    assert [each["after"] for each in general] == [-1, len(plain["stages"]) - 1]
    assert all(each["loss"] > 0 and each["questions"] for each in general)
    assert found["settings"]["evaluate"]["general"] == str(path)
    found["settings"]["evaluate"]["general"] = ""
    for name in ("settings_digest", "config_digest", "digest"):
        assert found.pop(name) != plain[name]
    assert found.pop("general_digest") == files.sha256_file(path)
    assert found == {key: plain[key] for key in found}
    assert (folder / "rows.jsonl").read_bytes() == (whole / "rows.jsonl").read_bytes()


def record(folder: Path) -> dict[str, Any]:
    """Return a finished run's record."""
    return json.loads((folder / "record.json").read_text())


def answers(folder: Path, stages: int) -> list[str]:
    """Return the lines of rows.jsonl that were written before so many stages were over."""
    lines = (folder / "rows.jsonl").read_text().splitlines()
    return [line for line in lines if json.loads(line)["after"] < stages]


@pytest.mark.parametrize("name", ["seq_ft", "per_task_ft"])
def test_a_method_is_told_the_task_only_if_it_says_that_it_needs_it(
    llama_folder, task_files, tmp_path, monkeypatch, name
):
    method, told = method_class(name), set()
    route = method.route

    def listen(self: Method, task: str | None) -> None:
        told.add(task)
        route(self, task)

    monkeypatch.setattr(method, "route", listen)
    run(tiny_settings(llama_folder, task_files, name), runs=tmp_path)
    assert told == ({"feel", "topic"} if method.needs_task_id else {None})


def test_a_finished_run_is_not_done_again(settings, whole):
    before = (whole / "measured.json").read_bytes()
    assert run(settings, runs=whole.parent) == whole
    assert (whole / "measured.json").read_bytes() == before


def test_a_record_names_every_stage_and_every_task(whole):
    record = json.loads((whole / "record.json").read_text())
    assert len(record["R"]) == len(record["stages"]) + 1
    assert all(len(row) == len(record["tasks"]) for row in record["R"])
    assert all(value is not None for value in record["R"][-1])
    assert not (whole / "checkpoint").exists()


def environments(folder: Path) -> list[dict]:
    """Return the environments that worked on a finished run."""
    return json.loads((folder / "measured.json").read_text())["environments"]


def test_another_number_of_threads_at_resume_is_warned_of_and_recorded(
    llama_folder, task_files, tmp_path
):
    settings = tiny_settings(llama_folder, task_files, "am_lora")
    here = torch.get_num_threads()
    assert killed(settings, tmp_path, Kill(step=3), threads=here + 1)
    told = Listening()
    folder = run(settings, runs=tmp_path, progress=told)
    assert f"threads {here} (was {here + 1})" in " ".join(told.warnings)
    assert [found["threads"] for found in environments(folder)] == [here + 1, here]


def test_a_stage_without_an_example_of_earlier_tasks_is_warned_of(
    llama_folder, task_files, tmp_path
):
    """A prompt that has learned nothing answers no text of its own, and the check refuses all."""
    plain = resolved(tiny_settings(llama_folder, task_files, "lfpt5"))
    plain["train"]["lr"] = 1e-6
    told: dict[bool, list[str]] = {}
    for checked in (False, True):
        plain["method"]["pseudo"]["self_check"] = checked
        listening = Listening()
        folder = run(settings_from(plain), runs=tmp_path, progress=listening)
        kept = files.read_json(folder / "record.json")["stages"][1]["stored_examples"]
        assert (kept == 0) == checked
        told[checked] = [text for text in listening.warnings if "no example" in text]
    line = "topic: no example of an earlier task was kept, so none is learned again."
    assert told == {False: [], True: [line]}


def test_another_version_at_resume_is_warned_of_and_recorded(llama_folder, task_files, tmp_path):
    settings = tiny_settings(llama_folder, task_files, "am_lora")
    with pytest.raises(Interrupted):
        run(settings, runs=tmp_path, progress=StopAt(3))
    (path,) = tmp_path.glob(f"*/checkpoint/{COMMIT}")
    stored = files.read_sealed(path)
    del stored["digest"]
    older = {**stored["environment"], "torch": "1.0"}
    progress = {**stored["progress"], "environments": [older]}
    files.write_sealed(path, {**stored, "environment": older, "progress": progress})
    told = Listening()
    folder = run(settings, runs=tmp_path, progress=told)
    assert "(was 1.0)" in " ".join(told.warnings)
    assert [found["torch"] for found in environments(folder)] == ["1.0", torch.__version__]


def test_the_same_environment_at_resume_is_not_warned_of(llama_folder, task_files, tmp_path):
    settings = tiny_settings(llama_folder, task_files, "am_lora")
    with pytest.raises(Interrupted):
        run(settings, runs=tmp_path, progress=StopAt(1))
    told = Listening()
    folder = run(settings, runs=tmp_path, progress=told)
    assert not [text for text in told.warnings if "goes on with" in text]
    assert len(environments(folder)) == 1


def drop(text: str) -> str:
    """Return the lines but the last."""
    return "".join(text.splitlines(keepends=True)[:-1])


def swap(text: str) -> str:
    """Return the lines, the first two changed round."""
    first, second, *others = text.splitlines(keepends=True)
    return "".join([second, first, *others])


@pytest.mark.parametrize("split", ["train", "dev", "test"])
@pytest.mark.parametrize("edit", [drop, swap, lambda text: text.replace(" is ", " was ", 1)])
def test_edited_data_are_told_apart(llama_folder, task_files, tmp_path, split, edit):
    tasks = shutil.copytree(task_files, tmp_path / "tasks")
    settings = tiny_settings(llama_folder, tasks, "am_lora").stream
    before = load_stream(settings)[0].digest()
    assert load_stream(settings)[0].digest() == before
    path = tasks / "topic" / f"{split}.jsonl"
    path.write_text(edit(path.read_text()))
    assert load_stream(settings)[0].digest() != before
