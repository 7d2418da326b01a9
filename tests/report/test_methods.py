"""The comparison of methods: what stands in a row, what is said, and what is left empty."""

import csv
import io
import json
import re
from typing import Any

import pytest

from amlora.evaluate.metrics import summary
from amlora.evaluate.statistics import paired_bootstrap, seed_interval
from amlora.report.compare import MISSING, OVER, comparable
from amlora.report.format import MINUS
from amlora.report.format import MISSING as DASH
from amlora.report.methods import (
    COLUMNS,
    DEVIATION,
    GENERAL_LEGEND,
    IDLE,
    MARKS,
    STORED,
    ZERO_SHOT,
    methods_sheets,
    methods_table,
)
from amlora.report.write import write

from .conftest import AM_LORA, JOINT, SIN_LORA, TASKS, general_of, group_of, record, runs_of

LOWER = [[0.50, 0.20, 0.35, 0.10], *[[value - 0.1 for value in row] for row in AM_LORA[1:]]]


def table_of(*records):
    return methods_table(group_of(*records)).set_index("label")


def sheet_of(*records):
    return methods_sheets(group_of(*records))[0]


def cells(sheet, name):
    (row,) = [row for row in sheet.shown.to_dict("records") if row["method"].split(" ")[0] == name]
    return row


def test_a_row_sums_up_the_seeds_of_one_line():
    table = table_of(
        record("am_lora", AM_LORA), record("am_lora", LOWER, seed=1), record("own", AM_LORA)
    )
    row = table.loc["am_lora"]
    assert (row["seeds"], table.loc["own"]["seeds"]) == ([0, 1], [0])
    wanted = {
        **{"average": 0.715, "average_sd": 0.1 / 2**0.5, "forgetting": 0.14 / 3},
        **{"learning_accuracy": 0.75, "bwt": -0.14 / 3, "seconds": 409.0},
        **{"trainable_parameters": 460_800 + 3 * 34_560, "stored_megabytes": 4 * 1.8432},
    }
    assert row[[*wanted]].to_dict() == pytest.approx(wanted)
    assert table.loc["own"][["average", "average_sd"]].isna().tolist() == [False, True]


def test_an_average_over_seeds_has_its_t_interval():
    seeds = [record("am_lora", AM_LORA), record("am_lora", LOWER, seed=1)]
    row = table_of(*seeds).loc["am_lora"]
    expected = seed_interval([0.765, 0.665]).interval
    assert (row["average_low"], row["average_high"]) == pytest.approx(expected)
    sheet = sheet_of(*seeds)
    # t(1 degree of freedom, 97.5 %) is 12.706, and sd / sqrt(2) is 0.05.
    assert cells(sheet, "am_lora")["average, %"] == "71.5 ± 7.1 [8.0, 135.0]"
    assert OVER["seeds"] in sheet.legend and OVER["rows"] not in sheet.legend


def test_an_average_of_one_run_has_the_interval_of_its_test_rows():
    one = record("am_lora", [*AM_LORA[:-1], [0.5, 0.75, 1.0, 0.25]])
    row = table_of(one).loc["am_lora"]
    hits = [[1.0] * n + [0.0] * (60 - n) for n in (30, 45, 60, 15)]
    expected = paired_bootstrap(hits, [[0.0] * 60] * 4, seed=0).interval
    assert (row["average_low"], row["average_high"]) == pytest.approx(expected)
    sheet = sheet_of(one)
    assert re.fullmatch(r"62\.5 \(5\d\.\d, 6\d\.\d\)", cells(sheet, "am_lora")["average, %"])
    assert OVER["rows"] in sheet.legend and OVER["seeds"] not in sheet.legend


def test_the_first_row_is_the_model_before_learning_with_a_deviation_where_rounding_differs():
    made = [record("am_lora", AM_LORA), record("own", SIN_LORA)]
    row = table_of(*made).iloc[0]
    assert (row.name, row["average"]) == ("zero-shot", pytest.approx(1.15 / 4))
    assert ZERO_SHOT not in sheet_of(*made).legend
    made[1]["R"] = [[0.50, 0.20, 0.35, 0.20], *SIN_LORA[1:]]
    assert table_of(*made).iloc[0]["average_sd"] == pytest.approx(0.025 / 2**0.5)
    assert ZERO_SHOT in sheet_of(*made).legend and DEVIATION not in sheet_of(*made).legend


def test_what_was_not_scored_is_empty():
    part = record("am_lora", [[None] * 4, *LOWER[1:]])
    part["R"][2] = [None, *part["R"][2][1:]]
    part["metrics"] = summary(part["R"], [60] * 4)
    sheet = sheet_of(part)
    assert sheet.shown["method"].tolist() == ["am_lora"]  # no model before learning
    assert cells(sheet, "am_lora")["forgetting, points"] == DASH


def test_a_joint_run_leaves_cells_empty_and_the_legend_says_why():
    sheet = sheet_of(record("mtl", JOINT), record("am_lora", AM_LORA))
    row = cells(sheet, "mtl")
    empty = ("forgetting, points", "learning accuracy, %", "BWT, points", "task id")
    assert [name for name, cell in row.items() if cell == DASH] == [*empty]
    assert MISSING in sheet.legend and "joint learning has no order" in MISSING
    assert row["trained"] == "461 k"


def test_what_needs_a_task_id_or_keeps_examples_is_marked():
    sheet = sheet_of(
        record("own", AM_LORA), record("replay", AM_LORA, examples=5), record("am_lora", AM_LORA)
    )
    assert sheet.shown["method"].tolist() == ["zero-shot", "am_lora", "own †", "replay ‡"]
    assert sheet.shown["task id"].tolist() == [DASH, "no", "yes", "no"]
    assert sheet.shown["examples"].tolist() == [DASH, "0", "0", "20"]
    assert [*MARKS.values()] == [line for line in sheet.legend if line[0] in "†‡"]
    assert not {*MARKS.values()} & {*sheet_of(record("am_lora", AM_LORA)).legend}


def test_a_line_of_which_no_run_kept_an_example_is_not_marked():
    """As when everything that a method wrote was refused; one kept example in one run is enough."""
    first, second = record("replay", AM_LORA), record("replay", LOWER, seed=1)
    assert not table_of(first, second).loc["replay"]["stores_examples"]
    assert MARKS["stores_examples"] not in sheet_of(first, second).legend
    second["stages"][1]["stored_examples"] = 1
    assert table_of(first, second).loc["replay"]["stores_examples"]


def test_where_seeds_differ_is_said():
    sheet = sheet_of(
        *(record("am_lora", AM_LORA, seed=seed) for seed in (0, 1)), record("own", SIN_LORA)
    )
    assert sheet.title == "small: sms, topic, film, kind (seeds 0, 1)"
    assert sheet.notes == ["Not all lines have the same seeds: am_lora [0, 1]; own [0]."]


def test_a_rate_names_the_candidates_that_it_was_chosen_from():
    runs = runs_of(record("own", AM_LORA), record("am_lora", AM_LORA, lr=2e-5))
    (group,) = comparable(runs.assign(candidates=[(3e-4, 1e-3), ()]))
    (sheet,) = methods_sheets(group)
    assert cells(sheet, "own")["learning rate"] == "0.001 of 0.0003, 0.001"
    assert cells(sheet, "am_lora")["learning rate"] == "2e-05"


def test_rows_that_their_own_stage_answered_are_counted_by_task():
    shares = [[0.0, 1.0, 0.0, 0.0, 0.0], [0.05, 0.0, 0.95, 0.0, 0.0]]
    routing = {"stages": ["none", *TASKS], "tasks": list(TASKS[:2]), "shares": shares}
    routed: dict[str, Any] = {**record("anchored_lora", AM_LORA), "routing": routing}
    routed["tasks"] = [{**task, "scored": 10 + 30 * at} for at, task in enumerate(routed["tasks"])]
    made = [routed, record("am_lora", AM_LORA)]
    right = table_of(*made)["routed_right"]
    assert right["anchored_lora"] == pytest.approx((10 * 1.0 + 40 * 0.95) / 50)
    assert (
        "Rows that their own task's stage answered: anchored_lora 96.0 %." in sheet_of(*made).notes
    )
    others = {**routing, "stages": ["none", *(f"stage {at}" for at in range(1, 5))]}
    assert "answered" not in "".join(sheet_of(routed | {"routing": others}).notes)


def test_stages_in_which_a_part_did_next_to_nothing_are_counted():
    weak, fine = record("am_lora", AM_LORA), record("replay", AM_LORA)
    for stage in (*weak["stages"], *fine["stages"]):
        stage |= {"terms": {"task": 1.0}, "remarks": []}
    for stage in weak["stages"][1:]:
        stage["remarks"] = ["the term 'sparsity' was 0.1 % of the task's loss."]
    assert f"{IDLE}am_lora 3 of 4." in sheet_of(weak, fine, record("own", AM_LORA)).notes
    assert sheet_of(fine).notes == []


def test_general_ability_stands_in_a_table_of_its_own_where_some_runs_measured_it():
    made = [
        record("am_lora", AM_LORA) | {"general": general_of(3.5, 6, 0.75)},
        record("am_lora", LOWER, seed=1) | {"general": general_of(3.6, 3, 0.25)},
        record("own", AM_LORA) | {"general": general_of(3.25, 1)},
        record("replay", AM_LORA),
    ]
    first, second = methods_sheets(group_of(*made))
    assert [[*row.values()] for row in second.shown.to_dict("records")] == [
        [
            *("am_lora", "3.250", "3.550 ± 0.071", "+0.300", "4.2 ± 0.0", "18.8 ± 8.8"),
            *("50.0 ± 0.0", "27.1 ± 8.8", "50.0 ± 35.4"),
        ],
        ["own †", "3.250", "3.250", "0.000", "4.2", "4.2", "50.0", "12.5", DASH],
    ]
    assert second.notes == ["Not measured: replay."]
    assert any("† needs a task id and has none here" in line for line in second.legend)
    rows = json.loads(write([first, second], "json"))["tables"][0]["rows"]
    assert [row.get("general_right") for row in rows] == [None, pytest.approx(9 / 48), 1 / 24, None]
    (alone,) = methods_sheets(group_of(record("am_lora", AM_LORA)))
    assert "general" not in write([alone], "csv") + write([alone], "text")
    assert not {*GENERAL_LEGEND} & {*alone.legend}


@pytest.fixture
def three():
    seeds = [record("am_lora", R, seed=seed) for seed, R in enumerate((AM_LORA, LOWER))]
    return [*seeds, record("own", SIN_LORA), record("mtl", JOINT)]


def test_csv_and_json_have_full_precision_and_nothing_where_nothing_is(three):
    sheet = sheet_of(*three)
    rows = list(csv.DictReader(io.StringIO(write([sheet], "csv"))))
    assert [row["label"] for row in rows] == ["zero-shot", "am_lora", "mtl", "own"]
    assert float(rows[3]["average"]) == pytest.approx(sum(SIN_LORA[-1]) / 4, abs=1e-15)
    assert (rows[3]["average_sd"], rows[2]["bwt"], rows[1]["seeds"]) == ("", "", "0 1")
    assert [row["average_interval"] for row in rows] == ["", "seeds", "rows", "rows"]
    assert float(rows[1]["average_low"]) == pytest.approx(0.715 - 12.7062 * 0.05, abs=1e-5)
    assert rows[3]["tasks"] == "sms topic film kind"
    plain = json.loads(write([sheet], "json"))["tables"][0]["rows"]
    assert (plain[3]["needs_task_id"], plain[2]["bwt"], plain[1]["seeds"]) == (True, None, [0, 1])
    assert plain[3]["average"] == float(rows[3]["average"])


def test_a_reader_sees_signs_and_units(three):
    row = cells(sheet_of(*three), "am_lora")
    assert [*row] == [*COLUMNS]
    assert row["BWT, points"] == f"{MINUS}4.7 ± 0.0" and row["forgetting, points"] == "4.7 ± 0.0"
    assert (row["trained"], row["stored, MB"], row["time"]) == ("564 k", "7.4", "6 min 49 s")
    assert {DEVIATION, STORED} <= {*sheet_of(*three).legend}


def test_equal_runs_give_equal_bytes_whatever_their_order(three):
    for form in ("text", "json"):
        said = write(methods_sheets(group_of(*three)), form)
        assert said == write(methods_sheets(group_of(*three[::-1])), form)
