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


def test_a_method_page_has_the_methods_line_of_that_table(capsys):
    store = str(ROOT / "results" / "methods")
    out = printed(capsys, "report", store, "--table", "methods", "--format", "markdown")
    lines = {line.split()[1]: line for line in out.splitlines() if line.startswith("| ")}
    for name in METHODS:
        assert lines[name] in (ROOT / "docs" / "methods" / f"{name}.md").read_text("utf-8")
