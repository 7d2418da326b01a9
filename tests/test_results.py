"""The numbers in the documentation are what the commands print from the kept records."""

from pathlib import Path

import pytest

from amlora.cli import main as command
from amlora.methods import METHODS

ROOT = Path(__file__).parents[1]


def printed(capsys, *words: str) -> str:
    """Return what the command line prints."""
    with pytest.raises(SystemExit) as left:
        command.main(words)
    assert not left.value.code
    return capsys.readouterr().out


def test_the_table_of_methods_is_that_of_the_kept_records(capsys):
    store = str(ROOT / "results" / "methods")
    out = printed(capsys, "report", store, "--table", "methods", "--format", "markdown")
    assert out.strip() in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert out == printed(capsys, "report", store, "--table", "methods", "--format", "markdown")


@pytest.mark.parametrize(
    "words", [["--table", "methods"], ["--table", "pairs", "--against", "mean_lora"]]
)
def test_the_tables_of_the_study_are_those_of_the_kept_records(words, capsys):
    store = str(ROOT / "results" / "orders")
    out = printed(capsys, "report", store, *words, "--format", "markdown")
    assert out.strip() in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["5", "sparsity"])
def test_the_figures_of_the_study_are_those_of_the_kept_records(name, capsys, tmp_path):
    store, out = str(ROOT / "results" / "orders"), tmp_path / "figure.md"
    printed(capsys, "report", store, "--figure", name, "--out", str(out))
    assert out.read_text(encoding="utf-8").strip() in (ROOT / "docs" / "results.md").read_text(
        encoding="utf-8"
    )


def test_the_right_picks_of_the_study_are_those_of_the_kept_records(capsys, tmp_path):
    store, out = str(ROOT / "results" / "orders"), tmp_path / "picks.md"
    printed(capsys, "report", store, "--figure", "picks", "--out", str(out))
    lines = out.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if "| all | all |" in line]
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert len(rows) > 10 and [row for row in rows if row not in page] == []


def test_a_method_page_has_the_methods_line_of_that_table_or_says_that_there_is_none(capsys):
    store = str(ROOT / "results" / "methods")
    out = printed(capsys, "report", store, "--table", "methods", "--format", "markdown")
    lines = {line.split()[1]: line for line in out.splitlines() if line.startswith("| ")}
    for name in METHODS:
        page = (ROOT / "docs" / "methods" / f"{name}.md").read_text("utf-8")
        measured = page.partition("## Measured\n\n")[2]
        if name in lines:
            assert lines[name] in measured
        else:
            # What was measured without a run of the method stands under headings of its own.
            assert measured.partition("\n### ")[0] == "Not measured yet.\n"
