"""What every run must do: the same record twice, and after any kill."""

import json
import os
import signal
import subprocess
import sys

import pytest

from amlora.experiment.run import run
from amlora.experiment.stop import Interrupted


def bits(folder):
    """Return the deterministic files of a finished run."""
    names = ("record.json", "rows.jsonl")
    return {name: (folder / name).read_bytes() for name in names}


def test_the_same_seed_gives_the_same_record_bit_for_bit(settings, tmp_path):
    first = run(settings, runs=tmp_path / "one")
    second = run(settings, runs=tmp_path / "two")
    assert bits(first) == bits(second)
    assert first.name == second.name


class StopAt:
    """A display that asks for a stop after some steps, as Ctrl-C does."""

    def __init__(self, steps):
        self.left = steps

    def step(self, step, steps, terms, tokens_per_second):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)

    def stage_started(self, index, count, task, steps): ...
    def evaluated(self, done, total, what): ...
    def stage_finished(self, record): ...
    def note(self, text): ...
    def warn(self, text): ...


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_a_run_stopped_at_a_step_goes_on_to_the_same_record(settings, tmp_path, steps):
    whole = run(settings, runs=tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(settings, runs=tmp_path / "cut", progress=StopAt(steps))
    assert bits(run(settings, runs=tmp_path / "cut")) == bits(whole)


KILLED = """
import os, signal, sys
from pathlib import Path
from amlora.experiment.config import load_settings
from amlora.experiment.progress import Silent
from amlora.experiment.run import run

class Killer(Silent):
    left = int(sys.argv[3])
    def step(self, step, steps, terms, tokens_per_second):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

run(load_settings(Path(sys.argv[1])), runs=Path(sys.argv[2]), progress=Killer())
"""


@pytest.mark.parametrize("method", ["am_lora", "seq_ft"])
def test_a_run_killed_with_signal_9_goes_on_to_the_same_record(
    any_folder, task_files, tmp_path, method
):
    from amlora.experiment.config import to_toml
    from contract.conftest import tiny_settings

    settings = tiny_settings(any_folder, task_files, method)
    whole = run(settings, runs=tmp_path / "whole")
    (tmp_path / "settings.toml").write_text(to_toml(settings))
    arguments = [str(tmp_path / "settings.toml"), str(tmp_path / "cut")]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads())}
    for steps in ("3", "2"):  # the second time it goes on from step 2 of the first stage
        command = [sys.executable, "-c", KILLED, *arguments, steps]
        killed = subprocess.run(command, env=environment, capture_output=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert bits(run(settings, runs=tmp_path / "cut")) == bits(whole)


def threads():
    """Return how many threads this process computes with."""
    import torch

    return torch.get_num_threads()


def test_a_finished_run_is_not_done_again(settings, tmp_path):
    folder = run(settings, runs=tmp_path)
    before = (folder / "measured.json").read_bytes()
    assert run(settings, runs=tmp_path) == folder
    assert (folder / "measured.json").read_bytes() == before


def test_a_record_names_every_stage_and_every_task(settings, tmp_path):
    folder = run(settings, runs=tmp_path)
    record = json.loads((folder / "record.json").read_text())
    assert len(record["R"]) == len(record["stages"]) + 1
    assert all(len(row) == len(record["tasks"]) for row in record["R"])
    assert all(value is not None for value in record["R"][-1])
    assert not (folder / "checkpoint").exists()
