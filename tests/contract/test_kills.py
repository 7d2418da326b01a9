"""Kill -9 at any moment: the same command goes on, and its record is that of an undisturbed run."""

import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings
from broken_disk import contents, disk, spread, strays
from broken_disk import whole as nothing
from contract.conftest import tiny_settings
from killed import Kill, bits, killed

STEPS = 8
"""Of the tiny run, in two stages of four (or in one) with a checkpoint after two."""


def same_after(settings: RunSettings, whole: Path, runs: Path, kills: Iterable[Kill]) -> int:
    """Kill a run at each of some moments, then let it end; return how many kills met it alive."""
    met = sum([killed(settings, runs, kill) for kill in kills])
    assert not killed(settings, runs)
    folder = runs / whole.name
    assert bits(folder) == bits(whole)
    assert contents(folder) == contents(whole)
    assert strays(runs) == []
    return met


def operations(settings: RunSettings, runs: Path) -> int:
    """Return how many operations on files a run takes."""
    runs.mkdir()
    with disk(nothing) as counted:
        run(settings, runs=runs)
    return len(counted.done)


@pytest.mark.parametrize(
    ("any_folder", "case"), [("llama", "am_lora"), ("t5", "seq_ft")], indirect=True
)
def test_a_run_killed_twice_within_a_stage_goes_on_to_the_same_record(settings, tmp_path):
    whole = run(settings, runs=tmp_path / "whole")
    # The second process goes on from step 2 of the first stage and dies in it too.
    assert same_after(settings, whole, tmp_path / "cut", [Kill(step=3), Kill(step=2)]) == 2


def test_a_run_killed_within_an_operation_on_a_file_goes_on_to_the_same_record(
    llama_folder, task_files, tmp_path
):
    settings = tiny_settings(llama_folder, task_files, "am_lora")
    whole = run(settings, runs=tmp_path / "whole")
    for at in spread(3, operations(settings, tmp_path / "counted")):
        assert same_after(settings, whole, tmp_path / str(at), [Kill(operation=at)]) == 1


@pytest.mark.slow
def test_a_run_killed_after_any_step_goes_on_to_the_same_record(settings, whole, tmp_path):
    kills = 0
    for step in range(1, STEPS + 1):
        kills += same_after(settings, whole, tmp_path / str(step), [Kill(step=step)])
    # Twice within the first stage of two, twice within the second, and in both.
    for index, steps in enumerate(([3, 2], [3, 1, 1], [7, 2], [2, 5])):
        moments = [Kill(step=step) for step in steps]
        kills += same_after(settings, whole, tmp_path / f"twice-{index}", moments)
    assert kills == STEPS + 9
    print(f"{kills} kills after a step")


@pytest.mark.slow
def test_a_run_killed_at_random_moments_goes_on_to_the_same_record(settings, whole, tmp_path):
    assert not killed(settings, tmp_path / "first")  # starts the server, too
    begun = time.monotonic()
    assert not killed(settings, tmp_path / "timed")
    longest = time.monotonic() - begun
    chance = random.Random(whole.name)
    kills = 0
    for index in range(12):
        moments = [Kill(seconds=chance.uniform(0.05, longest)) for _ in range(1 + index % 3)]
        kills += same_after(settings, whole, tmp_path / str(index), moments)
    print(f"{kills} kills at random moments")


@pytest.mark.slow
def test_a_run_killed_within_many_operations_on_files_goes_on_to_the_same_record(
    settings, whole, tmp_path
):
    total = operations(settings, tmp_path / "counted")
    many = 150 if settings.method.name == "am_lora" else 15
    numbers = spread(many, total)
    kills = 0
    for at in numbers:
        kills += same_after(settings, whole, tmp_path / str(at), [Kill(operation=at)])
    assert kills == len(numbers)
    print(f"{kills} kills within an operation on a file")
