"""One run on several processes by `accelerate launch`: the same results, and one voice."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from amlora import files
from amlora.experiment.run import run
from general_texts import write_general
from processes.conftest import (
    AMLORA,
    by_hand,
    ended,
    launch,
    launcher,
    losses,
    make_settings,
    ours,
    read,
    started,
    write,
)

RELATIVE = 1e-4  # of losses; only the order of additions differs
ROW = 1 / 20 + 1e-9  # one row of a test set


def assert_close(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Compare two records: all but rounding must be equal."""
    assert losses(one) == pytest.approx(losses(other), rel=RELATIVE)
    for key in ("R", "entered"):
        for row, same in zip(one[key], other[key], strict=True):
            for cell, twin in zip(row, same, strict=True):
                assert cell == twin or abs(cell - twin) <= ROW
    for key in ("steps", "rows", "tokens", "trainable_parameters", "stored_parameters"):
        assert [stage[key] for stage in one["stages"]] == [s[key] for s in other["stages"]]
    assert one["settings_digest"] == other["settings_digest"]


class Place:
    """A settings file and its run on two processes."""

    def __init__(self, folder: Path, model: Path, tasks: Path) -> None:
        self.settings = make_settings(model, tasks, "am_lora", steps=8)
        self.config = write(folder / "many.toml", self.settings)
        self.runs = folder / "runs"
        self.status, self.out, self.err = launch(2, "run", self.config, "--runs", self.runs, "-v")
        self.run = Path(self.out.strip())

    def again(self, *words: str) -> tuple[int, str, str]:
        """Launch it again."""
        return launch(2, "run", self.config, "--runs", self.runs, *words)


@pytest.fixture(scope="module")
def place(tmp_path_factory, llama_folder, task_files) -> Place:
    return Place(tmp_path_factory.mktemp("place"), llama_folder, task_files)


def test_two_processes_do_the_run_of_one_and_one_of_them_speaks_and_writes(place, tmp_path):
    assert place.status == 0, place.err
    alone = run(place.settings, runs=tmp_path)
    assert place.run.name == alone.name
    assert_close(read(place.run, "record.json"), read(alone, "record.json"))
    assert sorted(path.name for path in place.run.iterdir()) == sorted(
        path.name for path in alone.iterdir()
    )
    logged = (place.run / "log.jsonl").read_text().splitlines()
    assert len(logged) == len((alone / "log.jsonl").read_text().splitlines()) == 16
    assert place.out.count("\n") == 1
    assert place.err.count("[1/2] feel: step 3/8,") == 1
    assert place.err.count("2 processes.") == 1
    [environment] = read(place.run, "measured.json")["environments"]
    assert environment["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("method", ["am_lora", "seq_ft", "migu"])
@pytest.mark.parametrize(("processes", "batch"), [(2, 6), (4, 3)])  # 4: one has no rows
def test_results_agree_whatever_the_number_of_processes(
    any_folder, task_files, tmp_path, method, processes, batch
):
    settings = make_settings(any_folder, task_files, method, batch=batch)
    config = write(tmp_path / "many.toml", settings)
    status, out, err = launch(processes, "run", config, "--runs", tmp_path / "many", "-q")
    assert status == 0, err
    alone = run(settings, runs=tmp_path / "alone")
    assert Path(out.strip()).name == alone.name
    assert_close(read(Path(out.strip()), "record.json"), read(alone, "record.json"))


@pytest.mark.slow
def test_texts_of_no_task_are_shared_out_and_put_together_again(llama_folder, task_files, tmp_path):
    texts = write_general(tmp_path / "general.toml")  # three passages and two questions
    config = write(tmp_path / "run.toml", make_settings(llama_folder, task_files, "seq_ft"))
    words = ["run", config, "--set", f"evaluate.general={texts}", "--set", "train.steps=2"]
    found: list[dict[str, Any]] = []
    for count in (1, 2):
        with by_hand(*[[*words, "--runs", tmp_path / str(count)]] * count) as processes:
            (status, out, err), *_ = ended(processes)
        assert status == 0, err
        found.append(read(Path(out.strip()), "record.json"))
    alone, many = (record["general"] for record in found)
    assert [each.pop("loss") for each in many] == pytest.approx(
        [each.pop("loss") for each in alone], rel=RELATIVE
    )
    assert many == alone


@pytest.mark.slow
def test_one_process_by_the_launcher_is_the_plain_command(place, tmp_path):
    plain = ["--cpu", "--num_processes", "1"]
    at = launcher(1).index("--multi_gpu")
    command = [*launcher(1)[:at], *plain, *launcher(1)[at + 3 :]]
    words = ["run", str(place.config), "--runs", str(tmp_path), "-q"]
    with started([*command, *AMLORA, *words]) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    [environment] = read(Path(out.strip()), "measured.json")["environments"]
    assert environment["processes"] == 1


@pytest.mark.slow
def test_a_finished_run_is_skipped_by_all_and_force_does_it_again(place):
    before = (place.run / "measured.json").stat().st_mtime_ns
    status, out, err = place.again()
    assert (status, out) == (0, place.out), err
    assert err.count("finished already") == 1
    assert (place.run / "measured.json").stat().st_mtime_ns == before
    record = read(place.run, "record.json")
    status, out, err = place.again("--force")
    assert (status, out) == (0, place.out), err
    assert (place.run / "measured.json").stat().st_mtime_ns > before
    assert read(place.run, "record.json") == record


@pytest.mark.slow
def test_a_folder_in_use_is_refused_in_one_line_and_no_process_hangs(place, tmp_path):
    folder = shutil.copytree(place.run, tmp_path / place.run.name)
    with files.lock(folder):
        words = ("run", place.config, "--runs", tmp_path, "--force")
        _, out, err = launch(2, *words)
    line = f"amlora: {folder}: another process is writing here; wait for it to end."
    assert (out, ours(err)) == ("", [line])
    assert err.count("exitcode  : 2 ") == 1
    assert read(folder, "record.json") == read(place.run, "record.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("train.stps=3", "unknown setting 'train.stps'; did you mean 'steps'?"),
        ("stream.tasks.0.source=absent", "stream.tasks[0].source: "),
        ("model.name=./absent", "model.name: there is no folder"),
    ],
)
def test_wrong_input_is_one_line_from_one_process(place, setting, line):
    _, out, err = place.again("--set", setting)
    assert out == ""
    [said] = ours(err)
    assert said.startswith(f"amlora: {line}")
    assert "[rank" not in err  # how torch marks a process's traceback
    assert err.count("exitcode  : 2 ") == 1


@pytest.mark.slow
def test_the_launchers_own_option_for_sharding_is_refused(place):
    command = [word.replace("--multi_gpu", "--use_fsdp") for word in launcher(2)]
    with started([*command, *AMLORA, "run", str(place.config)]) as process:
        _, err = process.communicate(timeout=120)
    [said] = ours(err)
    assert said.startswith("amlora: FSDP (ACCELERATE_USE_FSDP) is not supported: ")


@pytest.mark.slow
def test_processes_that_would_do_different_runs_are_refused(place, tmp_path):
    words = ["run", place.config, "--runs", tmp_path]
    with by_hand(words, [*words, "--set", "seed=5"]) as processes:
        (status, _, err), (other, _, silent) = ended(processes)
    assert (status, other) == (2, 2)
    assert [line.partition(": ")[2] for line in ours(err)] == [
        f"{place.run.name}: other processes read other data, settings or weights."
    ]
    assert ours(silent)[0].startswith("amlora: process 1: ")


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_all_processes_at_the_same_step(place, tmp_path):
    words = ["run", place.config, "--runs", tmp_path, "--set", "train.lr=1e30"]
    with by_hand(words, words) as processes:
        (status, _, err), (other, _, silent) = ended(processes)
    assert (status, other) == (1, 1)
    assert [line for line in ours(err) if "the loss is not finite in task 'feel'" in line]
    assert ours(silent) == []


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pass", "generate"])
def test_processes_may_outnumber_the_rows_to_score(place, tmp_path, method):
    words = ["run", place.config, "--set", "train.steps=2", "--set", "stream.test_per_task=2"]
    words += ["--set", f"evaluate.method={method}"]
    with by_hand(*[[*words, "--runs", tmp_path / "many"]] * 3) as processes:
        (status, out, err), *_ = ended(processes)
    assert status == 0, err
    with by_hand([*words, "--runs", tmp_path / "alone"]) as processes:
        [(status, alone, err)] = ended(processes)
    assert status == 0, err
    rows = [
        [
            (row["task"], row["row"], row["hit"])
            for row in map(json.loads, path.read_text().splitlines())
        ]
        for path in (Path(out.strip()) / "rows.jsonl", Path(alone.strip()) / "rows.jsonl")
    ]
    assert rows[0] == rows[1]
