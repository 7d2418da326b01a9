"""The table of pairs of a store or a grid: which runs stand in it, and what is refused."""

import csv
import io
from pathlib import Path

import pytest

from amlora import files
from amlora.cli.pairs_table import pairs_table
from amlora.errors import InputError
from amlora.experiment.settings import resolved
from amlora.grid.cells import load_grid
from paired_runs import change, write_run

HITS = {"a": "1100", "b": "11"}
GRID = """
seeds = [0, 1]
[stream]
name = "quickstart"
[[methods]]
name = "sin_lora"
label = "z"
[[methods]]
name = "am_lora"
label = "a"
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs", "own", HITS)
    write_run(tmp_path / "runs", "am_lora", HITS)
    return tmp_path / "runs"


def test_the_runs_of_a_store_are_compared_and_those_on_dev_rows_are_not(store: Path):
    write_run(store, "candidate", HITS, split="dev")
    said = pairs_table([str(store)], store, "text", None, None)
    assert said.splitlines()[3].split()[:3] == ["own", "0", "0.0"]
    assert "candidate" not in said and said.endswith("Left out: 1 run scored on dev rows.\n")
    assert said == pairs_table([str(store)], store, "text", None, None)


def test_the_reference_can_be_named(store: Path):
    (row,) = csv.DictReader(io.StringIO(pairs_table([str(store)], store, "csv", None, "own")))
    assert (row["against"], row["label"]) == ("own", "am_lora")
    with pytest.raises(InputError, match=r"no line 'ow' to .* am_lora, own; did you mean 'own'\?"):
        pairs_table([str(store)], store, "csv", None, "ow")


def test_a_grid_names_the_lines_and_leaves_other_runs_out(tmp_path: Path, store: Path):
    grid = tmp_path / "two.toml"
    grid.write_text(GRID)
    loaded = load_grid(grid)
    for cell in loaded.cells:
        if cell.title == "z, seed 1":
            continue
        folder = write_run(store, cell.settings.method.name, HITS, seed=cell.seed, label="grid")
        settings = resolved(cell.settings)
        change(folder, settings=settings, settings_digest=files.digest(settings))
        folder.rename(store / cell.name)
    said = pairs_table([str(store)], store, "text", str(grid), None)
    assert said.splitlines()[0].endswith("methods against a")
    assert said.splitlines()[3].split()[:2] == ["z", "0"] and "own" not in said
    assert said.endswith("Cells of the grid without a finished run: z, seed 1.\n")


def test_one_line_alone_is_one_clear_line(store: Path):
    with pytest.raises(InputError) as refused:
        pairs_table(["own-a7-0"], store, "text", None, None)
    assert str(refused.value) == (
        "own-a7-0: no two lines to compare; small, a, b: there is nothing to compare own with."
    )


def test_altered_rows_are_refused_and_in_a_store_the_run_is_named_and_left_out(store: Path, capsys):
    rows = store / "own-a7-0" / "rows.jsonl"
    rows.write_text(rows.read_text().replace("true", "false", 1))
    with pytest.raises(InputError, match=r"own-a7-0/rows\.jsonl: altered;"):
        pairs_table(["own-a7-0"], store, "text", None, None)
    write_run(store, "third", HITS)
    said = pairs_table([str(store)], store, "text", None, None)
    assert said.splitlines()[3].split()[0] == "third" and "own" not in said
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("left out: ") and "own-a7-0/rows.jsonl: altered;" in line


def test_a_store_without_a_run_that_can_be_read_is_refused(store: Path, capsys):
    for name in ("own-a7-0", "am_lora-a7-0"):
        (store / name / "record.json").write_text("{}")
    with pytest.raises(InputError, match="no run that can be read"):
        pairs_table([str(store)], store, "text", None, None)
    assert capsys.readouterr().err.count("left out: ") == 2
