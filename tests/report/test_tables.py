"""The comparison as Markdown and CSV, and numbers as people read them."""

import csv
import io
from pathlib import Path

import pytest

from amlora.report import format
from amlora.report.format import MINUS, MISSING
from amlora.report.read import read_run
from amlora.report.tables import comma_separated, compare, markdown, over_seeds

from .conftest import AM_LORA, JOINT, MakeRun, record_of


def test_markdown_has_a_row_per_run(two_runs: list[Path]) -> None:
    lines = markdown(compare([read_run(folder) for folder in two_runs])).splitlines()
    assert lines[1] == "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    assert (
        lines[2] == f"| am_lora | am_lora | 76.5 | 4.7 | {MINUS}4.7 | 80.0 | 564 k | 6 min 49 s |"
    )
    assert len(lines) == 4


def test_markdown_cells_cannot_break_the_table(make_run: MakeRun) -> None:
    run = read_run(make_run(record_of("a|b\n\\|c", AM_LORA)))
    assert r"| a\|b \\\|c |" in markdown(compare([run]))


def test_csv_keeps_full_precision_and_leaves_the_undefined_empty(make_run: MakeRun) -> None:
    third = [[0.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]]
    run = read_run(make_run(record_of("a,b", third, tasks=["x", "y", "z"]), measured=None))
    (row,) = csv.DictReader(io.StringIO(comma_separated(compare([run]))))
    assert row["run"] == "a,b"
    assert float(row["average"]) == pytest.approx(1 / 3, abs=1e-15)
    assert row["bwt"] == ""
    assert row["seconds"] == ""


def test_trainable_parameters_are_the_most_of_any_stage(make_run: MakeRun) -> None:
    (line,) = compare([read_run(make_run(record_of("one", AM_LORA)))])
    assert line.trainable_parameters == 460_800 + 3 * 34_560


def test_only_runs_that_differ_in_their_seed_are_summed_up(make_run: MakeRun) -> None:
    records = [
        record_of("one", AM_LORA),
        record_of("one", AM_LORA, seed=1),
        record_of("mtl", JOINT),
    ]
    (group,) = over_seeds([read_run(make_run(record)) for record in records])
    assert (group.name, group.seeds, group.sd) == ("one", (0, 1), 0)


@pytest.mark.parametrize(
    ("value", "text"), [(0.7837, "78.4"), (1.0, "100.0"), (0.0, "0.0"), (None, MISSING)]
)
def test_per_cent(value: float | None, text: str) -> None:
    assert format.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(-0.012, f"{MINUS}1.2"), (0.05, "+5.0"), (-0.0001, "0.0"), (None, MISSING)]
)
def test_points_are_signed_unless_they_round_to_nothing(value: float | None, text: str) -> None:
    assert format.points(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (512, "512"),
        (737_280, "737 k"),
        (999_900, "1 M"),
        (134_515_008, "135 M"),
        (7e9, "7 G"),
    ],
)
def test_counts_are_short(value: float, text: str) -> None:
    assert format.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.54, "2.5 s"), (59.96, "1 min 0 s"), (409, "6 min 49 s"), (3725, "1 h 2 min")],
)
def test_durations_have_two_units(value: float, text: str) -> None:
    assert format.seconds(value) == text


def test_memory_is_in_binary_units() -> None:
    assert format.size(3 * 2**30) == "3.0 GiB"
    assert format.size(300 * 2**20) == "300 MiB"
