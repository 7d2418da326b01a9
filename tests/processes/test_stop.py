"""Stopping a launched run: all processes leave at one step, and the run goes on from there."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from killed import bits
from processes.conftest import (
    by_hand,
    ended,
    launch,
    launched,
    losses,
    make_settings,
    ours,
    read,
    write,
)

AGAIN = "amlora: interrupted; to go on, give the same command again, launcher and all."
STEP = "feel: step 4/40"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory, llama_folder, task_files) -> Path:
    settings = make_settings(llama_folder, task_files, "am_lora", steps=40, lr=2e-3)
    return write(tmp_path_factory.mktemp("stop") / "many.toml", settings)


@pytest.fixture(scope="module")
def whole(config) -> Path:
    """The run on two processes that was never stopped."""
    status, out, err = launch(2, "run", config, "--runs", config.parent / "whole", "-q")
    assert status == 0, err
    return Path(out.strip())


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read errors until a line holds the text."""
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        said.append(line)
        if text in line:
            return
    raise AssertionError("".join(said))


def stopped(config: Path, runs: Path, number: signal.Signals) -> str:
    """Launch the run on two processes, send the launcher's group a signal; return its errors."""
    with launched(2, "run", config, "--runs", runs, "-v") as process:
        wait_for(process, STEP)
        os.killpg(process.pid, number)
        _, err = process.communicate(timeout=60)
    return err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_launcher_stops_all_and_the_command_goes_on_bit_for_bit(
    config, whole, tmp_path, number
):
    err = stopped(config, tmp_path, number)
    assert ours(err) == [AGAIN]
    assert "[rank" not in err  # how torch marks a process's traceback
    assert err.count("stopping at the end of this step") == 1
    [folder] = tmp_path.iterdir()
    assert read(folder / "checkpoint", "current.json")["within"]["step"] < 40
    status, out, err = launch(2, "run", config, "--runs", tmp_path, "-v")
    assert (status, Path(out.strip())) == (0, folder), err
    assert "goes on at task 1" in err and "warning" not in err and "feel: step 1/40" not in err
    assert bits(folder) == bits(whole)


def test_a_stopped_run_goes_on_with_another_number_of_processes(config, whole, tmp_path):
    stopped(config, tmp_path, signal.SIGTERM)
    with by_hand(["run", config, "--runs", tmp_path]) as processes:
        [(status, out, err)] = ended(processes)
    assert status == 0, err
    [warning] = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert "goes on with processes 1 (was 2); its record may differ" in warning
    folder = Path(out.strip())
    counts = [each["processes"] for each in read(folder, "measured.json")["environments"]]
    assert counts == [2, 1]
    expected = losses(read(whole, "record.json"))
    assert losses(read(folder, "record.json")) == pytest.approx(expected, rel=1e-4)


def test_a_signal_to_one_process_alone_stops_all_at_one_step(config, whole, tmp_path):
    words = ["run", config, "--runs", tmp_path, "-v"]
    with by_hand(words, words) as processes:
        wait_for(processes[0], STEP)
        processes[1].send_signal(signal.SIGTERM)
        (status, _, err), (other, _, silent) = ended(processes)
    assert (status, other) == (130, 130), err + silent
    assert ours(err) == [AGAIN] and ours(silent) == []
    with by_hand(words, words) as processes:
        (status, out, err), _ = ended(processes)
    assert status == 0, err
    assert bits(Path(out.strip())) == bits(whole)


def test_a_process_killed_with_signal_9_ends_the_others_and_the_last_checkpoint_serves(
    config, whole, tmp_path
):
    words = ["run", config, "--runs", tmp_path, "-v"]
    with by_hand(words, words) as processes:
        wait_for(processes[0], "feel: step 7/40")
        processes[1].kill()
        (status, _, _), _ = ended(processes)
    assert status != 0
    with by_hand(words, words) as processes:
        (status, out, err), _ = ended(processes)
    assert status == 0, err
    assert "goes on at task 1, step 5." in err
    assert bits(Path(out.strip())) == bits(whole)
