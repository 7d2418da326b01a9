"""What the command line tells a page beside its records: choices, facts of methods, protocols."""

from pathlib import Path

import pytest

from amlora.cli.page import page

STORE = Path(__file__).parents[2] / "results" / "methods"


@pytest.fixture(scope="module")
def run() -> Path:
    (found,) = STORE.glob("am_lora-am_lora-*")
    return found


def test_a_store_brings_its_choices(run: Path):
    text = page([str(STORE)], [run])
    assert "How learning rates were chosen" in text
    assert "0.003 of 0.001, 0.003" in text
    assert "first task alone; highest dev score" in text


def test_a_run_by_itself_is_shown_from_its_folder_alone(run: Path):
    text = page([str(run)], [run])
    assert "How learning rates were chosen" not in text
    assert "clean with " in text
    assert "Empty cells" not in text  # whether it needs a task id is known


def test_the_same_records_give_the_same_bytes(run: Path):
    assert page([str(STORE)], [run]) == page([str(STORE)], [run])


def test_lines_are_held_against_the_one_asked_for(run: Path):
    (other,) = STORE.glob("ewc-*")
    text = page([str(STORE)], [run, other], "ewc")
    assert "Each line against ewc, on equal test rows and seeds." in text
