"""`amlora table`: which runs stand in a table, where it is written, and what is refused."""

import csv
import io
from pathlib import Path

import pytest

from amlora import files
from amlora.experiment.settings import resolved
from amlora.grid.cells import load_grid
from command import amlora
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
def store(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs", "own", HITS)
    write_run(tmp_path / "runs", "am_lora", HITS)
    return tmp_path / "runs"


def table(*words: object) -> tuple[int, str, str]:
    return amlora("table", *words)


@pytest.mark.parametrize("kind", ["methods", "pairs", "paper-1", "paper-2"])
def test_runs_scored_on_dev_rows_are_left_out_and_counted(store, kind):
    write_run(store, "candidate", HITS, split="dev")
    status, said, err = table(kind, store)
    assert (status, err) == (0, "") and "candidate" not in said
    assert said.endswith("Left out: 1 run scored on dev rows.\n")
    assert (status, said, err) == table(kind, store)


def test_the_paper_without_a_run_of_it_says_so(store):
    said = table("paper-2", store)[1]
    assert "Ours: no run." in said
    assert said.endswith("Left out: runs that are not of orders 1, 2, 3: 2.\n")


def test_runs_of_dev_rows_alone_are_refused(store):
    write_run(store / "dev", "candidate", HITS, split="dev")
    line = f"amlora: {store}/dev: no runs that were scored on test rows.\n"
    assert table("methods", store / "dev") == (2, "", line)


def test_the_reference_can_be_named(store):
    (row,) = csv.DictReader(
        io.StringIO(table("pairs", store, "--against", "own", "--format", "csv")[1])
    )
    assert (row["against"], row["label"]) == ("own", "am_lora")
    status, out, err = table("pairs", store, "--against", "ow")
    assert (status, out) == (2, "")
    assert err.endswith(
        "no line 'ow' to compare with among 'am_lora', 'own'; did you mean 'own'?\n"
    )


def test_a_grid_names_the_lines_and_leaves_other_runs_out(store, tmp_path):
    grid = tmp_path / "two.toml"
    grid.write_text(GRID)
    for cell in load_grid(grid).cells:
        if cell.title != "z, seed 1":
            folder = write_run(store, cell.settings.method.name, HITS, seed=cell.seed, label="x")
            settings = resolved(cell.settings)
            change(folder, settings=settings, settings_digest=files.digest(settings))
            folder.rename(store / cell.name)
    said = table("pairs", store, "--grid", grid)[1]
    assert said.splitlines()[0].endswith("methods against a")
    assert said.splitlines()[3].split()[:2] == ["z", "0"] and "own" not in said
    assert said.endswith("Cells of the grid without a finished run: z, seed 1.\n")


def test_one_line_alone_is_one_clear_line(store):
    assert table("pairs", "own-a7-0")[2] == (
        "amlora: own-a7-0: no two lines to compare; small, a, b: there is nothing to compare own"
        " with.\n"
    )


def test_a_table_is_written_to_a_file_and_never_over_another(store, tmp_path):
    words = ("methods", store, "--format", "html", "--out", "table.html")
    assert table(*words)[:2] == (0, "table.html\n")
    assert (tmp_path / "table.html").read_text().startswith("<section>\n<h2>small: a, b")
    line = "amlora: table.html: is there already; --force overwrites it.\n"
    assert table(*words) == (2, "", line)
    assert table(*words, "--force")[0] == 0


def test_altered_rows_are_refused_and_in_a_store_the_run_is_named_and_left_out(store):
    rows = store / "own-a7-0" / "rows.jsonl"
    rows.write_text(rows.read_text().replace("true", "false", 1))
    assert "own-a7-0/rows.jsonl: altered;" in table("pairs", "own-a7-0")[2]
    write_run(store, "third", HITS)
    status, said, err = table("pairs", store)
    assert said.splitlines()[3].split()[0] == "third" and "own" not in said
    (line,) = err.splitlines()
    assert status == 0 and line.startswith("left out: ") and "rows.jsonl: altered;" in line


def test_a_store_without_a_run_that_can_be_read_is_refused(store):
    for name in ("own-a7-0", "am_lora-a7-0"):
        (store / name / "record.json").write_text("{}")
    status, _, err = table("pairs", store)
    assert (status, err.count("left out: ")) == (2, 2) and "no run that can be read" in err
