"""The study of the statistic: planted vectors, a tiny model, and the page that shows it."""

from pathlib import Path

import pytest
import torch

from amlora import files
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.streams.load import load_stream
from amlora.streams.settings import StreamSettings, TaskSettings
from small_run import TELLING, write_telling_tasks

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "statistic-smollm2-135m.json"
PAGE = ROOT / "docs" / "methods" / "anchored_lora.md"
NAMES = (
    *("features", "rows", "shrinkage", "tasks", "length", "foreign", "left-out", "blurred"),
    *("returning", "cost"),
)


def test_the_pages_shares_are_those_of_the_kept_results(bench):
    tables, record = bench("statistic_tables"), files.read_json(RESULTS)
    page = PAGE.read_text(encoding="utf-8")
    assert set(NAMES) == set(tables.TABLES) and f"{RESULTS.name} features`" in page
    lines = [line.split(" | ") for line in tables.table(record, "features").splitlines()]
    full, blind = lines[0].index("15 tasks, full"), lines[0].index("15 tasks, blind")
    for vector in ("embeddings", "4 layers"):
        [found] = [line for line in lines if line[:2] == [f"| {vector}", "full"]]
        assert f"{found[full]} %" in page and f"{found[blind]} %" in page


def test_the_command_prints_a_table(bench, monkeypatch, capsys):
    tables = bench("statistic_tables")
    monkeypatch.setattr("sys.argv", ["statistic_tables.py", str(RESULTS), "length"])
    tables.main()
    assert capsys.readouterr().out.strip() == tables.table(files.read_json(RESULTS), "length")


def planted(bench):
    """Three tasks about means far apart; the second's test rows lie about the first's mean."""
    statistic = bench("statistic")
    generator = torch.Generator().manual_seed(0)

    def about(mean: float, rows: int) -> torch.Tensor:
        return torch.randn(rows, 6, generator=generator) + mean

    return statistic, {
        "one": statistic.Vectors(about(0.0, 40), about(0.0, 10)),
        "two": statistic.Vectors(about(50.0, 40), about(0.0, 10)),
        "three": statistic.Vectors(about(-80.0, 40), about(-80.0, 10)),
    }


def test_shares_count_rows_that_went_to_their_own_stage(bench, monkeypatch):
    statistic, tasks = planted(bench)
    monkeypatch.setattr(statistic, "STREAMS", {"all": (), "two of them": ("three", "one")})
    choice = statistic.Choice("full", 128, 0, 30)
    found = statistic.shares(choice, "all", tasks)
    assert found["right"] == {"one": 10, "two": 0, "three": 10}
    assert (found["layers"], found["rows"], found["covariance"]) == (0, 30, "full")
    assert found["bytes_per_task"] == 4 * (2 * 6 + 2) and found["bytes_once"] == 4 * (36 + 1)
    assert statistic.shares(choice, "two of them", tasks)["right"] == {"three": 10, "one": 10}


def test_foreign_counts_rows_that_went_to_no_stage(bench):
    statistic, tasks = planted(bench)
    strangers = torch.tensor([[20.0], [0.0], [-300.0]]).expand(3, 6)
    choice = statistic.Choice("full", 128, 0, 40, reject=0.05)
    found = statistic.foreign(choice, tasks, strangers)
    assert (found["strangers"], found["strangers_scored"]) == (2, 3)
    assert sum(found["own"].values()) <= 4  # a stated rate of 5 % of 30 rows
    # Without the first task nothing is near its rows; those of the second are near the first.
    assert found["left_out"]["one"] == found["left_out"]["three"] == 10
    assert found["left_out"]["two"] <= 2


def test_blurred_stages_have_rows_of_the_next_task(bench):
    statistic, tasks = planted(bench)
    choice, strangers = statistic.Choice("full", 128, 0, 20), torch.full((3, 6), 400.0)
    sharp = statistic.blurred(choice, 0.0, tasks, strangers)
    assert sharp["right"] == {"one": 10, "two": 0, "three": 10}
    assert sharp["strangers"] == 0  # as nothing may be rejected
    # Wholly the next task's: rows about 0 then belong to the last stage.
    assert statistic.blurred(choice, 1.0, tasks, strangers)["right"]["one"] == 0
    wary = statistic.Choice("full", 128, 0, 20, reject=0.001)
    assert statistic.blurred(wary, 0.0, tasks, strangers)["strangers"] == 3
    assert statistic.blurred(wary, 0.25, tasks, strangers)["strangers"] < 3  # limits are wide


def test_rows_of_a_task_that_comes_again_go_to_either_of_its_stages(bench):
    statistic, tasks = planted(bench)
    del tasks["two"]
    found = statistic.returning(statistic.Choice("full", 128, 0, 20), tasks)
    assert found["first"] + found["again"] == 20 and found["elsewhere"] == 0
    assert found["first"] and found["again"]


@pytest.fixture
def stream(tmp_path):
    """Two tiny tasks."""
    root = write_telling_tasks(tmp_path / "tasks", {"train": 12, "dev": 2, "test": 4})
    tasks = tuple(TaskSettings(name=name, source=name) for name in TELLING)
    return load_stream(StreamSettings(data_root=str(root), tasks=tasks))[0]


def test_a_whole_study_on_a_tiny_model_fills_every_table(bench, llama_folder, stream, monkeypatch):
    statistic, tables = bench("statistic"), bench("statistic_tables")
    for name, value in {
        "DEPTHS": (0, 1, 2),
        "ROWS": (4, 8),
        "MOST": 12,
        "REJECTS": ((0.2, 8), (0.2, 12)),
        "SHRINKAGES": (0.5, 1.0),
        "STREAMS": {tables.ALL: (), "one": ("feel",)},
    }.items():
        monkeypatch.setattr(statistic, name, value)
    settings = ModelSettings(
        name=str(llama_folder), precision="float32", device="cpu", max_tokens=statistic.SHORT
    )
    record = statistic.made(settings, StreamSettings(data_root="/somewhere"))
    assert record["made"]["settings"]["stream"]["data_root"] == ""
    for part in statistic.measured(load_backbone(settings), stream):
        for name, found in part.items():
            record[name] = record[name] + found if isinstance(found, list) else found
    assert record["scored"] == dict.fromkeys(TELLING, 4)
    assert {entry["layers"] for entry in record["shares"]} == {0, 1, 2}
    assert {entry["rows"] for entry in record["foreign"]} == {8, 12}
    for name in NAMES:
        head, _, *lines = tables.table(record, name).splitlines()
        assert lines and {line.count("|") for line in lines} == {head.count("|")}
