"""The numbers in the documentation are what the commands print from the kept records."""

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from amlora.cli import main as command
from amlora.experiment.settings import load_settings
from amlora.methods.n_lora import NLoRASettings
from amlora.records.schema import Record
from amlora.records.store import read_runs

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
CENTRE = ("am_lora-am_lora-*", "mean_lora-*", "inc_lora-inc_lora-*")
"""What the study of the attention shares with the comparison on order 1; one run each."""
FLOOR = ["attention/all-without-l1-am_lora-*", "attention/l1-proximal-am_lora-*"]
"""Two runs that differ by nothing that matters."""


def printed(capsys, *words: str) -> str:
    """Return what the command line prints."""
    with pytest.raises(SystemExit) as left:
        command.main(words)
    assert not left.value.code
    return capsys.readouterr().out


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def stores(*names: str) -> list[str]:
    """Return the folders of kept records; "attention" comes with its centre."""
    centre = [f"order1/{runs}" for runs in CENTRE] if "attention" in names else []
    return [str(RESULTS / name) for name in (*names, *centre)]


def records(wanted: str) -> list[Record]:
    """Return the records of kept runs."""
    return [run.record for run in read_runs([str(RESULTS / wanted)])]


@cache
def tables() -> ModuleType:
    """Return docs/tables.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = [
    path for path in (ROOT / "docs").rglob("*.md") if "<!-- table: " in path.read_text("utf-8")
]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_tables_of_a_page_are_those_of_the_kept_records(path: Path):
    text = path.read_text(encoding="utf-8")
    assert tables().filled(text) == text


def test_the_page_of_the_orders_says_how_far_two_runs_differ_by_chance():
    [table] = tables().printed("pairs", *FLOOR, against="all-without-l1")
    [pair] = table["rows"]
    average, bwt = (f"{100 * pair[name]:.1f} points of" for name in ("difference", "bwt"))
    assert f"{average} average\n  and {bwt} BWT apart" in page("orders")


@pytest.mark.slow
def test_a_page_of_the_whole_study_is_made_and_twice_the_same(capsys, tmp_path):
    folders = stores("order1", "attention", "orders23", "order4")[:4]
    pages = [tmp_path / "once.html", tmp_path / "again.html"]
    for out in pages:
        printed(capsys, "report", *folders, "--out", str(out))
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_the_right_picks_of_the_study_are_those_of_the_kept_records(capsys, tmp_path):
    out = tmp_path / "picks.md"
    printed(capsys, "figure", "picks", *stores("attention"), "--out", str(out))
    [row] = re.findall(r"\| am_lora \| all \| all \| ([\d.]+) \|", out.read_text("utf-8"))
    assert f"picks the task's own LoRA in {row} % of rows" in page("orders")


def test_anchored_lora_sent_every_row_of_three_orders_to_its_own_stage():
    found = records("anchored-orders/anchored_lora-anchored_lora-*")
    for record in found:
        assert record.routing is not None
        assert [row.index(1.0) for row in record.routing.shares] == [1, 2, 3, 4]
    rows = sum(task.scored for record in found for task in record.tasks)
    assert f"all {rows:,} test rows were answered by their own task's stage" in page("anchored")


@pytest.mark.parametrize(
    ("name", "runs", "words"),
    [
        ("figure3", "*", ["3", "--with", "am_lora", "--without", "inc_lora"]),
        ("figure4", "am_lora-am_lora-*", ["4"]),
    ],
    ids=["figure3", "figure4"],
)
def test_the_pictures_of_the_study_are_those_of_the_kept_records(
    name, runs, words, capsys, tmp_path
):
    out = tmp_path / "figure.svg"
    printed(capsys, "figure", words[0], f"{RESULTS}/order1/{runs}", *words[1:], "--out", str(out))
    assert out.read_bytes() == (ROOT / "docs" / "images" / f"{name}.svg").read_bytes()


def test_the_quick_starts_rates_are_those_that_the_kept_records_favour():
    best: dict[str, tuple[float, float]] = {}
    for record in records("quickstart/*-[123]e-[23]-*"):
        assert record.settings["evaluate"]["split"] == "dev"
        method, rate = record.method, record.settings["train"]["lr"]
        scores = [100 * (score or 0.0) for score in [*record.R[-1], record.metrics.average]]
        row = " | ".join([method, f"{rate:g}", *(f"{score:.1f}" for score in scores)])
        assert f"| {row} |\n" in page("results")
        best[method] = max(best.get(method, (-1.0, 0.0)), (scores[-1], rate))
    demo = load_settings(ROOT / "configs" / "quickstart.toml")
    assert set(best) == {"sin_lora", "am_lora", "anchored_lora"}
    assert {rate for _, rate in best.values()} == {demo.train.lr}


def test_the_default_strength_of_n_lora_follows_from_the_kept_records():
    scores: dict[float, float] = {}
    scored = 0
    for record in records("n_lora-strength"):
        assert record.settings["evaluate"]["split"] == "dev"
        scored = record.tasks[0].scored
        scores[record.settings["method"]["strength"]] = record.metrics.average or 0.0
    assert f"on {scored} rows that are neither" in page("methods/n_lora")
    free = scores[0.0]
    bound = free - (free * (1 - free) / scored) ** 0.5
    assert max(each for each, score in scores.items() if score >= bound) == NLoRASettings().strength


def test_the_page_of_results_shows_the_last_rows_of_the_kept_runs_of_the_demo():
    for method in ("sin_lora", "am_lora", "anchored_lora"):
        [record] = records(f"quickstart/quickstart-{method}-*")
        row = [*record.R[-1], record.metrics.average]
        wanted = [method, *(f"{100 * (score or 0.0):.1f}" for score in row)]
        assert wanted in [line.split() for line in page("results").splitlines()]


def test_a_grid_stands_in_a_pack_as_it_stood_in_its_folder(capsys):
    words = ("methods", *stores("order1"), "--grid", "order1-methods")
    out = printed(capsys, "table", *words)
    assert "0.003 of 0.001, 0.003" in out and "without a finished run" not in out
