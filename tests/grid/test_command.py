"""`amlora grid` and the tables of its results, with the processes that users get."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amlora.cli import start as command
from amlora.cli.grid import parse_options, parse_shard
from amlora.report.format import MISSING
from command import amlora
from grids import choices, write_grid

GRID = """
base = "base.toml"
[[methods]]
name = "seq_ft"
[[methods]]
name = "am_lora"
label = "broken"
method.lora.targets = ["no_such_layer"]
[select.rates]
seq_ft = [1e-3, 1e-2]
"""


class Place:
    """A grid that was run: two candidates, one cell that learns and one that cannot."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.grid = write_grid(folder, model, GRID)
        self.runs = folder / "runs"
        words = ("grid", self.grid, "--runs", self.runs)
        self.before = amlora(*words, "--list")
        self.status, self.out, self.err = amlora(*words, "--on", "here")
        (choice,) = choices(self.runs)
        self.rate: float = choice["rate"]


@pytest.fixture(scope="module")
def place(tmp_path_factory, llama_folder) -> Place:
    return Place(tmp_path_factory.mktemp("grid"), llama_folder)


def test_before_a_run_all_cells_wait_and_nothing_is_written(place):
    status, out, err = place.before
    assert (status, err) == (0, "")
    header, *rows = out.splitlines()
    assert header.split() == ["LABEL", "ORDER", "SEED", "RATE", "STATE", "RUN"]
    assert [row.split()[-2] for row in rows] == ["waiting"] * 4
    assert rows[2].split()[-3] == rows[2].split()[-1] == MISSING  # its rate is not chosen yet
    assert rows[3].split()[-1].startswith("broken-am_lora-")


def test_a_failed_cell_ends_in_status_1_with_its_reason_and_all_others_are_done(place):
    assert place.status == 1
    assert place.err.splitlines()[-1].startswith("amlora: broken, seed 1: ")
    assert "no_such_layer" in place.err.splitlines()[-1]
    assert f"3 cells finished in {place.runs}." in place.out
    assert f"seq_ft: rate {place.rate:g} chosen (dev rows of feel, 0.001: " in place.err
    assert "seq_ft, seed 1: finished in " in place.err


def test_the_list_tells_each_cells_state_and_run(place):
    status, out, _ = amlora("grid", place.grid, "--runs", place.runs, "--list", "--json")
    assert status == 0
    rows = json.loads(out)
    # A run that cannot begin leaves no trace; the command that tried it said why.
    assert [row["state"] for row in rows] == ["finished", "finished", "finished", "waiting"]
    assert [row["kind"] for row in rows] == ["select", "select", "run", "run"]
    assert all((place.runs / row["run"] / "record.json").is_file() for row in rows[:3])
    assert len({row["run"] for row in rows}) == 4


def test_with_json_the_failed_cells_of_this_sweep_are_told(place):
    words = ("grid", place.grid, "--runs", place.runs, "--on", "here", "--shard", "2/2", "--json")
    status, out, _ = amlora(*words)
    (row,) = json.loads(out)
    assert (status, row["state"]) == (1, "failed") and "no_such_layer" in row["reason"]


def test_a_share_lists_its_own_cells_alone(place):
    words = ("grid", place.grid, "--runs", place.runs, "--list", "--json", "--shard")
    assert [row["label"] for row in json.loads(amlora(*words, "2/2")[1])] == ["broken"]
    labels = [row["label"] for row in json.loads(amlora(*words, "1/2")[1])]
    assert labels == ["seq_ft", "seq_ft", "seq_ft"]


def test_a_share_that_is_finished_ends_at_once(place):
    before = {path: path.stat().st_mtime_ns for path in place.runs.glob("*/record.json")}
    words = ("--runs", place.runs, "--shard", "1/2", "--on", "here", "--json")
    status, out, err = amlora("grid", place.grid, *words)
    assert status == 0
    assert "started" not in err and "seq_ft, seed 1: finished already, average" in err
    assert [row["state"] for row in json.loads(out)] == ["finished"] * 3
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_table_of_a_store_leaves_candidates_out_and_names_them(place):
    status, out, err = amlora("table", "methods", place.runs)
    assert (status, err) == (0, "")
    assert "seq_ft" in out and f"{place.rate:g} of 0.001, 0.01" in out
    assert "Left out: 2 runs scored on dev rows." in out
    assert "select-" not in out


def test_the_table_of_a_grid_names_the_cells_that_are_missing(place):
    words = ("table", "methods", place.runs, "--grid", place.grid)
    status, out, _ = amlora(*words, "--format", "json")
    assert status == 0
    found = json.loads(out)
    assert found["notes"][-1] == "Cells of the grid without a finished run: broken, seed 1."
    ((zero, line),) = [table["rows"] for table in found["tables"]]
    assert (zero["label"], line["label"], line["rate"]) == ("zero-shot", "seq_ft", place.rate)
    assert (line["needs_task_id"], line["stores_examples"], line["stored_examples"]) == (
        *(False, False),
        0,
    )


WRONG = [
    ("grid absent.toml", "absent.toml: no such grid file; shipped: "),
    ("grid methods-quickstat --list", "methods-quickstat: no such grid file; did you mean"),
    ("grid plain", "plain: a folder, not a grid file."),
    ("grid good.toml --shard 3/2", "--shard 3/2: expected I/N with I from 1 to N, such as 2/4."),
    ("grid good.toml --shard 0/2", "--shard 0/2: expected I/N"),
    ("grid good.toml --shard two", "--shard two: expected I/N"),
    ("grid good.toml --runs good.toml", "good.toml: a file, not a folder of runs."),
    ("grid good.toml --jobs 0", "Invalid value for '--jobs'"),
    ("grid good.toml --on moon", "Invalid value for '--on'"),
    ("grid good.toml --with gpus", "--with gpus: expected KEY=VALUE, such as timeout_min=240."),
    ("grid good.toml --with gpus=1", "--with: --on processes has no options."),
    ("grid typo.toml", "unknown setting 'grid.method_s'"),
    ("table methods plain --grid good.toml", "plain: no finished run of the grid good."),
    ("table methods no --grid good.toml", "--grid: give the one folder of runs"),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=[words for words, _ in WRONG])
def test_wrong_input_is_one_line_and_writes_nothing(tmp_path, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").mkdir()
    (tmp_path / "good.toml").write_text(
        '[stream]\nname = "quickstart"\n[[methods]]\nname = "seq_ft"\n'
    )
    (tmp_path / "typo.toml").write_text('[[method_s]]\nname = "seq_ft"\n')
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    status, out, err = amlora(*words.split())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert (status, out) == (2, "")
    assert err.startswith(f"amlora: {line}") and err.count("\n") == 1


def test_shares_are_counted_from_1_and_options_are_toml_or_text():
    assert parse_shard("1/1") == (1, 1) and parse_shard("12/12") == (12, 12)
    words = ["timeout_min=240", "slurm_partition=gpu", 'slurm_setup=["a=b"]']
    options = {"timeout_min": 240, "slurm_partition": "gpu", "slurm_setup": ["a=b"]}
    assert parse_options(words) == options


def test_an_interrupted_grid_tells_the_command_that_goes_on():
    words = ["grid", "my grid.toml", "--jobs", "2"]
    assert command.interrupted(words) == (
        "amlora: interrupted; to go on: amlora grid 'my grid.toml' --jobs 2"
    )


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_and_the_same_command_goes_on(llama_folder, tmp_path):
    text = 'base = "base.toml"\nseeds = [0, 1]\n[[methods]]\nname = "sin_lora"\n'
    grid = write_grid(tmp_path, llama_folder, text, steps="200")
    runs = tmp_path / "runs"
    words = ["grid", str(grid), "--runs", str(runs), "--jobs", "2"]
    code = "from amlora.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True
    )
    with process:
        while len(list(runs.glob("*/log.jsonl"))) < 2:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read().splitlines()
        assert process.wait() == 130
    assert said[-1] == f"amlora: interrupted; to go on: amlora {' '.join(words)}"
    assert "stopping 2 at the end of their step." in said
    assert not any("Traceback" in line or "failed" in line for line in said)
    states = [row["state"] for row in json.loads(amlora(*words, "--list", "--json")[1])]
    assert states == ["started", "started"]
    assert amlora(*words)[0] == 0
    assert len(list(runs.glob("*/record.json"))) == 2
