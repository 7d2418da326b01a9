"""A run on a disk that breaks at any of its operations: it says so, and can be done again."""

import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from amlora.engine import checkpoint
from amlora.errors import InputError
from amlora.experiment.run import run
from amlora.files import TEMPORARY
from amlora.mixture.version import verify
from broken_disk import CODES, Fails, contents, disk, spread, strays, whole
from command import amlora
from stored import read_record

SAMPLE = 12


def plans(numbers: Iterable[int], *, each: int) -> list[Fails]:
    """Return faults at operations of these numbers, so many at each; codes and kinds take turns."""
    kinds = itertools.cycle(itertools.product(CODES, (False, True)))
    return [Fails(at, *next(kinds)) for at in numbers for _ in range(each)]


def readable(folder: Path) -> None:
    """Check that whatever a run left is a whole state, an older or a newer one."""
    if (folder / "checkpoint").exists():
        checkpoint.load(folder / "checkpoint")
    if (folder / "skills" / "CURRENT").exists():
        verify(folder / "skills")
    if (folder / "record.json").exists():
        read_record(folder)
    if (folder / "log.jsonl").exists():
        assert all(json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines())


def test_every_kind_of_operation_is_among_those_that_fail(undisturbed):
    wanted = {"open", "read", "write", "fsync", "replace", "unlink", "mkdir", "rmdir", "flock"}
    assert wanted <= set(undisturbed.operations)


def test_a_run_whose_disk_fails_stops_and_the_same_command_finishes_it(undisturbed, tmp_path, part):
    total = len(undisturbed.operations)
    faults = (
        plans(spread(SAMPLE, total), each=1)
        if part == "sample"
        else plans(range(1, total + 1), each=2)
    )
    for number, fault in enumerate(faults):
        runs = tmp_path / str(number)
        with disk(fault), pytest.raises((OSError, InputError)):
            run(undisturbed.settings, runs=runs)
        readable(runs / undisturbed.folder.name)
        with disk(whole):
            again = run(undisturbed.settings, runs=runs)
        assert contents(again) == contents(undisturbed.folder), fault
        assert strays(runs) == [], fault
    print(f"{len(faults)} operations failed")


def test_the_command_line_names_the_failed_file_in_one_line(undisturbed, tmp_path, part):
    with disk(whole) as counted:
        words = ("run", undisturbed.file, "-q", "--runs")
        assert amlora(*words, tmp_path / "whole")[::2] == (0, "")
    faults = plans(spread(4 if part == "sample" else 48, len(counted.done)), each=1)
    for number, fault in enumerate(faults):
        runs = tmp_path / str(number)
        with disk(fault):
            status, _, said = amlora(*words, runs)
        readable(runs / undisturbed.folder.name)
        assert (status, said.count("\n")) == (2, 1), (fault, said)
        assert said.startswith("amlora: /") and "Traceback" not in said
        reason = os.strerror(fault.code).lower()
        assert reason in said.lower() or "another process is writing here" in said, (fault, said)
        with disk(whole):
            assert amlora(*words, runs)[::2] == (0, ""), fault
        assert contents(runs / undisturbed.folder.name) == contents(undisturbed.folder)


def test_starting_over_on_a_failing_disk_leaves_the_old_run_or_an_unfinished_one(
    undisturbed, tmp_path, part
):
    runs = tmp_path / "runs"
    folder = run(undisturbed.settings, runs=runs)
    with disk(whole) as counted:
        run(undisturbed.settings, runs=runs, force=True)
    discarded = counted.done.index("write")  # the first file of the new run
    faults = plans(spread(4 if part == "sample" else discarded, discarded), each=1)
    for fault in faults:
        with disk(fault), pytest.raises((OSError, InputError)):
            run(undisturbed.settings, runs=runs, force=True)
        readable(folder)
        assert contents(run(undisturbed.settings, runs=runs)) == contents(undisturbed.folder)
        assert strays(runs) == [], fault


def test_a_finished_run_rids_itself_of_what_a_kill_left(undisturbed, tmp_path):
    folder = run(undisturbed.settings, runs=tmp_path)
    for left in (folder / "checkpoint", folder / f"{TEMPORARY}0"):
        left.mkdir()
        (left / checkpoint.COMMIT).write_text("{}")
    assert contents(run(undisturbed.settings, runs=tmp_path)) == contents(undisturbed.folder)
