"""The table in docs/howto/found-borders.md is what benchmarks/borders.py prints from results."""

from pathlib import Path

import pytest
import torch

from amlora import files
from amlora.streams import catalogue
from amlora.streams.settings import DetectionSettings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "prompt"), [("borders-160", "whole"), ("borders-blind", "text alone")]
)
def test_the_page_has_the_kept_rows_of_the_usual_settings(bench, name, prompt):
    kept = files.read_json(ROOT / "benchmarks" / "results" / f"{name}.json")
    page = (ROOT / "docs" / "howto" / "found-borders.md").read_text(encoding="utf-8")
    table = bench("borders").table(kept["measured"])
    rows = [row for row in table.splitlines() if "| all |" in row]
    assert rows and all(row.replace("| all |", f"| {prompt} |") in page for row in rows)
    usual, settings = DetectionSettings(), kept["settings"]
    assert settings["window"] == usual.window and settings["least"] == usual.least
    assert settings["false_alarm"] == usual.false_alarm


def test_an_orders_borders_are_measured_on_its_rows(bench):
    names = catalogue.orders()["1"]
    generator = torch.Generator().manual_seed(0)
    vectors = {
        name: 9.0 * place + torch.randn(100, 8, generator=generator)
        for place, name in enumerate(names)
    }
    measured = bench("borders").measure("1", 0.0, 0, vectors, DetectionSettings())
    assert measured["true"] == [100, 200, 300] and measured["false_alarms"] == 0
    late = [at - true for at, true in zip(measured["found"], measured["true"], strict=True)]
    assert measured["delays"] == late


def test_a_line_of_the_table_puts_seeds_together(bench):
    found = {"order": "1", "border": 0.0, "rows": 1000}
    measured = [
        {**found, "delays": [10, None, 30], "false_alarms": 1},
        {**found, "delays": [20, 25, 40], "false_alarms": 0},
    ]
    (own, every) = bench("borders").rows_of(measured)
    assert own == ("1", "0", "2,000", "6", "5", "25", "40", "40", "1", "5.00")
    assert every[1:] == own[1:]
