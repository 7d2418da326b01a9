"""The matrix in a terminal: the same rows as the page's, also while a run is going."""

import io

from rich.console import Console

from amlora.records.schema import Record
from amlora.report.format import MISSING
from amlora.report.matrix import matrix_rows, matrix_table
from stored import a_record

from .conftest import AM_LORA, JOINT, TASKS


def printed(record: Record) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system="standard")
    console.print(matrix_table(record))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_rows_are_the_moments_and_columns_the_tasks() -> None:
    rows = matrix_rows(a_record(TASKS, AM_LORA))
    assert rows[0] == ["%", "sms", "topic", "film", "kind", "mean"]
    assert rows[1] == ["before learning", "50.0", "20.0", "35.0", "10.0", MISSING]
    assert rows[2][-1] == "95.0"
    assert rows[3][-1] == "90.5"
    assert [row[0] for row in rows[2:]] == ["after sms", "after topic", "after film", "after kind"]


def test_a_run_that_is_going_prints_the_rows_it_has() -> None:
    rows = matrix_rows(a_record(TASKS, AM_LORA[:3]))
    assert [row[0] for row in rows[1:]] == ["before learning", "after sms", "after topic"]


def test_one_stage_of_several_is_not_taken_for_joint_learning() -> None:
    assert matrix_rows(a_record(TASKS, AM_LORA[:2]))[-1][0] == "after sms"
    joint = a_record(TASKS, JOINT, stages=["all tasks"])
    assert matrix_rows(joint)[-1][0] == "after all tasks"


def test_what_was_not_measured_is_a_dash_and_a_moment_without_any_score_is_left_out() -> None:
    R = [[None] * 4, [0.9, None, None, None]]
    assert matrix_rows(a_record(TASKS, R))[1:] == [["after sms", "90.0", *[MISSING] * 3, "90.0"]]


def test_the_table_marks_learned_cells_bold_and_unlearned_ones_dim() -> None:
    text = printed(a_record(TASKS, AM_LORA))
    assert "\x1b[1m 95.0\x1b[0m" in text or "\x1b[1m95.0\x1b[0m" in text
    assert "\x1b[2m" in text


def test_markup_in_a_task_name_is_printed_as_it_is() -> None:
    names = ["[red]hot[/red]", "b", "c", "d"]
    assert "[red]hot[/red]" in printed(a_record(names, AM_LORA))
