"""What every run must do: the same record twice, whole after every stop, never done again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from amlora import files
from amlora.engine.checkpoint import COMMIT
from amlora.experiment.plan import plan
from amlora.experiment.run import run
from amlora.experiment.stop import Interrupted
from contract.conftest import tiny_settings
from killed import Kill, bits, killed
from stopped import Listening, StopAt


def test_the_same_seed_gives_the_same_record_bit_for_bit(settings, whole, tmp_path):
    again = run(settings, runs=tmp_path)
    assert bits(again) == bits(whole)
    assert again.name == whole.name


@pytest.mark.parametrize(
    "any_folder", ["llama", pytest.param("t5", marks=pytest.mark.slow)], indirect=True
)
def test_a_run_stopped_again_and_again_goes_on_to_the_same_record(settings, whole, tmp_path):
    for steps in (1, 3, 3):  # in the first stage, at its end, in the second one
        with pytest.raises(Interrupted):
            run(settings, runs=tmp_path, progress=StopAt(steps))
    folder = tmp_path / whole.name
    steps = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 1, 2, 3]
    assert bits(run(settings, runs=tmp_path)) == bits(whole)


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
def test_edited_data_make_it_another_run(
    llama_folder, task_files, tmp_path, split, edit: Callable[[str], str]
):
    tasks = shutil.copytree(task_files, tmp_path / "tasks")
    settings = tiny_settings(llama_folder, tasks, "am_lora")
    before = plan(settings)["run"]
    assert plan(settings)["run"] == before
    path = tasks / "topic" / f"{split}.jsonl"
    path.write_text(edit(path.read_text()))
    assert plan(settings)["run"] != before


def test_edited_data_do_not_go_on_from_the_old_datas_checkpoint(llama_folder, task_files, tmp_path):
    tasks = shutil.copytree(task_files, tmp_path / "tasks")
    settings = tiny_settings(llama_folder, tasks, "am_lora")
    with pytest.raises(Interrupted):
        run(settings, runs=tmp_path, progress=StopAt(6))
    (stopped,) = tmp_path.glob(f"*/checkpoint/{COMMIT}")
    before = stopped.read_bytes()
    path = tasks / "topic" / "train.jsonl"
    path.write_text(drop(path.read_text()))
    folder = run(settings, runs=tmp_path)
    assert folder != stopped.parent.parent
    steps = (folder / "log.jsonl").read_text().splitlines()
    assert len(steps) == 8 and stopped.read_bytes() == before
