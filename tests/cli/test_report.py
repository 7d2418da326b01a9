"""`amlora report`: what it reads beside the runs, where it writes, and what it refuses."""

from pathlib import Path

from command import amlora

METHODS = Path(__file__).parents[2] / "results" / "methods"


def test_a_store_brings_its_choices_and_equal_runs_give_equal_bytes(tmp_path: Path):
    page = tmp_path / "page.html"
    words = ("report", METHODS, "--against", "ewc", "--out", page)
    assert amlora(*words) == (0, f"{page}\n", "")
    text = page.read_text("utf-8")
    assert "How learning rates were chosen" in text and "0.003 of 0.001, 0.003" in text
    assert "first task alone; highest dev score" in text
    assert "Each line against ewc, on equal test rows and seeds." in text
    assert amlora(*words)[2] == f"amlora: {page}: is there already; --force overwrites it.\n"
    assert amlora(*words, "--force")[0] == 0 and page.read_text("utf-8") == text


def test_a_run_by_itself_is_shown_from_its_folder_alone(tmp_path: Path):
    page = tmp_path / "page.html"
    run = METHODS / "am_lora-am_lora-*"
    assert amlora("report", run, "--out", page)[0] == 0
    text = page.read_text("utf-8")
    assert "How learning rates were chosen" not in text and "clean with " in text
    assert amlora("report", run, "--against", "am_lor", "--out", tmp_path / "x")[2] == (
        "amlora: no line 'am_lor' to compare with; there are am_lora; did you mean 'am_lora'?\n"
    )
