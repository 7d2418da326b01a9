"""Sweeps over grids of tiny runs: finished, failed, shared by processes, stopped and killed."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from amlora import files
from amlora.grid.cells import load_grid
from amlora.grid.listing import labels, standings
from amlora.records.run import read_folder
from broken_disk import strays
from grids import TWO_SEEDS, children, choices, ended, results, said, start, times, write_grid


class Place:
    """A grid file, and what its sweep leaves when nothing disturbs it."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.file = write_grid(folder, model, TWO_SEEDS, steps="6\ncheckpoint_every = 2")
        self.grid = load_grid(self.file)
        self.runs = folder / "runs"
        self.before = [each.state for each in standings(self.grid, self.grid.cells, self.runs)]
        begun = time.monotonic()
        self.status = ended(start(self.file, self.runs))
        self.seconds = time.monotonic() - begun
        self.results = results(self.runs)


@pytest.fixture(scope="module")
def place(tmp_path_factory, llama_folder) -> Place:
    return Place(tmp_path_factory.mktemp("place"), llama_folder)


def test_every_cell_is_run_the_candidates_before_those_that_wait_for_them(place):
    assert place.status == 0
    lines = said(place.runs)
    assert len(said(place.runs, "started")) == len(said(place.runs, "finished")) == 6
    (chosen,) = said(place.runs, "chosen")
    waiting = [line for line in lines if line.startswith("seq_ft, seed") and "started" in line]
    assert waiting and all(lines.index(line) > lines.index(chosen) for line in waiting)
    names = sorted(name.rpartition("-")[0].rpartition("-")[0] for name in times(place.runs))
    assert names == ["select-seq_ft-seq_ft"] * 2 + ["seq_ft-seq_ft"] * 2 + ["sin_lora-sin_lora"] * 2


def test_a_cell_is_the_run_that_its_settings_name(place):
    assert place.before == ["waiting"] * 6
    found = standings(place.grid, place.grid.cells, place.runs)
    assert [each.state for each in found] == ["finished"] * 6
    assert {each.cell.name for each in found} == set(times(place.runs))
    named, missing = labels(place.grid, place.runs)
    assert [*named.values()] == ["sin_lora"] * 2 + ["seq_ft"] * 2 and missing == []


def test_the_cells_have_the_chosen_rate_and_the_choice_names_its_runs(place):
    (choice,) = choices(place.runs)
    places = [(-each["score"], each["loss"], each["rate"]) for each in choice["candidates"]]
    assert choice["rate"] == min(places)[2]
    for name in times(place.runs):
        if name.startswith("seq_ft"):
            record = read_folder(place.runs / name).record
            assert record.settings["train"]["lr"] == choice["rate"]
    for each in choice["candidates"]:
        record = read_folder(place.runs / each["run"]).record
        assert record.settings["train"]["lr"] == each["rate"]
        assert record.settings["evaluate"]["split"] == "dev"
        assert record.R[-1] == (each["score"],)
        assert [task.name for task in record.tasks] == ["feel"] == [choice["task"]]


def test_finished_cells_are_not_done_again_nor_started(place):
    before = times(place.runs)
    assert ended(start(place.file, place.runs, name="again")) == 0
    assert times(place.runs) == before
    assert said(place.runs, "started", name="again") == []


def test_another_grid_shares_the_cells_it_has_in_common(place, tmp_path):
    shutil.copytree(place.runs, tmp_path / "runs")
    text = 'name = "other"\n' + TWO_SEEDS.replace("seeds = [0, 1]", "seeds = [0]")
    shutil.copy(place.folder / "base.toml", tmp_path)
    (tmp_path / "other.toml").write_text(text)
    assert ended(start(tmp_path / "other.toml", tmp_path / "runs")) == 0
    assert said(tmp_path / "runs", "started") == []
    assert [choice["grid"] for choice in choices(tmp_path / "runs")] == ["other", "small"]


def test_one_order_chooses_for_all(tmp_path, llama_folder):
    text = TWO_SEEDS.replace("seeds = [0, 1]", 'orders = [["feel", "topic"], ["topic", "feel"]]')
    text = text.replace("[select.rates]", '[select]\norder = ["feel", "topic"]\n[select.rates]')
    file = write_grid(tmp_path, llama_folder, text)
    assert ended(start(file, tmp_path / "runs")) == 0
    (choice,) = choices(tmp_path / "runs")
    assert (choice["order"], choice["task"]) == ("feel-topic", "feel")
    records = [read_folder(tmp_path / "runs" / name).record for name in times(tmp_path / "runs")]
    chosen = [each for each in records if each.name == "seq_ft"]
    assert sorted(each.tasks[0].name for each in chosen) == ["feel", "topic"]
    assert {each.settings["train"]["lr"] for each in chosen} == {choice["rate"]}
    assert sum(each.name == "select-seq_ft" for each in records) == 2


@pytest.mark.slow
@pytest.mark.parametrize("of", [2, 3])
def test_shares_one_after_the_other_give_the_whole(place, tmp_path, of):
    runs = tmp_path / "runs"
    started: list[str] = []
    for number in range(1, of + 1):
        name = f"share-{number}"
        assert ended(start(place.file, runs, share=(number, of), name=name)) == 0
        started += said(runs, "started", name=name)
    assert len(started) == len(set(started)) == 6
    assert results(runs) == place.results


def steps(runs: Path) -> dict[str, int]:
    """Return how many steps each run's log tells."""
    return {path.parent.name: path.read_text().count("\n") for path in runs.glob("*/log.jsonl")}


def test_two_sweeps_of_one_folder_do_each_cell_once(place, tmp_path):
    runs = tmp_path / "runs"
    both = [start(place.file, runs, name=f"side-{at}", jobs=2) for at in range(2)]
    assert [ended(process) for process in both] == [0, 0]
    assert results(runs) == place.results
    assert steps(runs) == steps(place.runs)
    assert strays(runs) == []


def test_a_run_that_another_process_works_on_is_left_to_it_and_taken_up_once_that_is_gone(
    place, tmp_path
):
    runs = tmp_path / "runs"
    with files.lock(runs / place.grid.cells[0].name):
        process = start(place.file, runs)
        deadline = time.monotonic() + 60
        while len(times(runs)) < 5 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(times(runs)) == 5  # all the others
        assert process.is_alive()
    assert ended(process) == 0
    assert results(runs) == place.results


DIVERGING = """
base = "base.toml"
[[methods]]
name = "seq_ft"
[[methods]]
name = "sin_lora"
method.lora.rank = 2
[select.rates]
seq_ft = [1e38, 1e-3]
sin_lora = [1e38, 2e38]
"""


def test_a_diverged_candidate_cannot_win_and_where_all_diverge_nothing_is_chosen(
    llama_folder, tmp_path
):
    file, runs = write_grid(tmp_path, llama_folder, DIVERGING), tmp_path / "runs"
    assert ended(start(file, runs)) == 1
    (choice,) = choices(runs)
    assert (choice["label"], choice["rate"]) == ("seq_ft", 1e-3)
    assert "not finite" in choice["candidates"][0]["problem"]
    assert choice["candidates"][0]["score"] is None
    assert said(runs, "failed") == [
        "sin_lora, seed 1: failed: no rate can be chosen: all candidates diverged."
    ]
    grid = load_grid(file)
    states = [each.state for each in standings(grid, grid.cells, runs)]
    assert (states[0], states[-1]) == ("diverged", "waiting")


def test_changed_data_are_refused_by_each_run_in_one_line_and_learned_anew_with_force(
    llama_folder, tmp_path
):
    text = TWO_SEEDS.partition('[[methods]]\nname = "seq_ft"')[0]
    file, runs = write_grid(tmp_path, llama_folder, text), tmp_path / "runs"
    assert ended(start(file, runs)) == 0
    before = times(runs)
    path = tmp_path / "data" / "topic" / "train.jsonl"
    path.write_text(path.read_text().replace("won", "lost"))
    assert ended(start(file, runs, name="again")) == 1
    assert times(runs) == before
    failed = said(runs, "failed", name="again")
    assert len(failed) == 2 and all("data" in line and "--force" in line for line in failed)
    assert ended(start(file, runs, force=True, name="anew")) == 0
    assert times(runs).keys() == before.keys() and not times(runs).items() & before.items()


def test_wrong_data_are_told_before_any_cell_is_started(llama_folder, tmp_path):
    file, runs = write_grid(tmp_path, llama_folder, TWO_SEEDS), tmp_path / "runs"
    (tmp_path / "data" / "topic" / "train.jsonl").write_text('{"text": "a"}\n')
    assert ended(start(file, runs)) == 1
    assert said(runs) == [] and not runs.exists()


def test_an_altered_run_is_named_and_the_rest_is_done(place, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(place.runs, runs)
    altered = sorted(runs.glob("sin_lora-*"))[0]
    (altered / "rows.jsonl").write_text("")
    other = sorted(runs.glob("seq_ft-*"))[0]
    shutil.rmtree(other)
    assert ended(start(place.file, runs)) == 1
    (failed,) = said(runs, "failed")
    assert f"{altered}/rows.jsonl: altered" in failed
    assert (other / "record.json").read_bytes() == place.results[f"{other.name}/record.json"]
    states = {each.cell.name: each.state for each in standings(place.grid, place.grid.cells, runs)}
    assert (states[altered.name], states[other.name]) == ("damaged", "finished")


def wait_for_checkpoint(runs: Path) -> None:
    """Wait until a run has begun to learn."""
    deadline = time.monotonic() + 60
    while not list(runs.glob("*/checkpoint/current.json")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("twice", [False, True])
def test_a_stop_saves_every_cell_and_the_same_command_goes_on(place, tmp_path, twice):
    runs = tmp_path / "runs"
    process = start(place.file, runs, jobs=2)
    wait_for_checkpoint(runs)
    assert process.pid is not None
    workers = children(process.pid)
    os.kill(process.pid, signal.SIGINT)
    if twice:
        process.join(1.1)
        if process.is_alive():
            os.kill(process.pid, signal.SIGINT)
    assert ended(process) == 130
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert len(times(runs)) < 6
    assert len(said(runs, "stopping")) == 1
    assert ended(start(place.file, runs, name="again")) == 0
    assert results(runs) == place.results
    assert said(runs, "failed") == said(runs, "failed", name="again") == []


def killed_and_restarted(place: Place, runs: Path, moments: list[float], *, workers: bool) -> int:
    """Kill a sweep, with its workers or without, at some moments; then let it end.

    A moment is told in finished runs and a part of the next one: a busy machine's seconds are long.
    """
    met = 0
    for at, moment in enumerate(moments):
        process = start(place.file, runs, jobs=1 + at % 2, name=f"killed-{at}")
        while process.is_alive() and len(times(runs)) < int(moment):
            time.sleep(0.005)
        process.join(moment % 1 * place.seconds / len(times(place.runs)))
        if process.is_alive():
            assert process.pid is not None
            below = children(process.pid) if workers else []
            for pid in [process.pid, *below]:
                os.kill(pid, signal.SIGKILL)
            process.join()
            met += 1
    assert ended(start(place.file, runs)) == 0
    assert results(runs) == place.results
    assert strays(runs) == []
    return met


def test_a_sweep_killed_at_random_moments_goes_on_to_the_same_records(place, tmp_path):
    chance = random.Random(0)
    moments = [chance.uniform(1, 4) for _ in range(2)]
    assert killed_and_restarted(place, tmp_path / "runs", moments, workers=False) > 0
    assert killed_and_restarted(place, tmp_path / "all" / "runs", moments, workers=True) > 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [False, True])
def test_a_sweep_killed_many_times_goes_on_to_the_same_records(place, tmp_path, workers):
    chance = random.Random(workers)
    met = 0
    for index in range(6):
        most = len(times(place.runs)) - 1
        moments = sorted(chance.uniform(0, most - 1) for _ in range(1 + index % 3))
        met += killed_and_restarted(place, tmp_path / str(index) / "runs", moments, workers=workers)
    assert met >= 6


def test_a_process_that_is_killed_is_a_failed_cell(place, tmp_path):
    runs = tmp_path / "runs"
    process = start(place.file, runs)
    wait_for_checkpoint(runs)
    assert process.pid is not None
    (worker,) = children(process.pid)
    os.kill(worker, signal.SIGKILL)
    assert ended(process) == 1
    (failed,) = said(runs, "failed")[:1]
    assert "ended by signal 9; is there enough memory?" in failed
    assert ended(start(place.file, runs, name="again")) == 0
    assert results(runs) == place.results


def test_what_a_killed_process_left_in_finished_runs_and_among_choices_is_swept(place, tmp_path):
    runs = shutil.copytree(place.runs, tmp_path / "runs")
    (path,) = runs.glob("grids/*/choices/*.json")
    path.unlink()
    for folder in (path.parent, *(runs / name for name in times(runs))):
        (folder / f"{files.TEMPORARY}0").write_text("half")
    assert ended(start(place.file, runs)) == 0
    assert strays(runs) == []
    assert results(runs) == place.results


def test_a_sweep_takes_no_rate_that_a_choices_candidates_do_not_give(place, tmp_path):
    runs = shutil.copytree(place.runs, tmp_path / "runs")
    (path,) = runs.glob("grids/*/choices/*.json")
    choice = files.read_sealed(path)
    del choice["digest"]
    files.write_sealed(path, choice | {"rate": 0.9})
    assert ended(start(place.file, runs)) == 1
    assert times(runs) == times(place.runs) and said(runs, "started") == []
