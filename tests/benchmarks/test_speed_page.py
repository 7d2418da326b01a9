"""The tables in docs/speed.md are what benchmarks/table.py prints from the kept results."""

from pathlib import Path

import pytest

from amlora import files

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "amd-epyc-2-cores.json"


@pytest.mark.parametrize("name", ["bars", "peers"])
def test_the_page_has_the_kept_rows(bench, name):
    table = bench("table")
    kept = table.rows_of(files.read_json(RESULTS)["benchmarks"], name)
    assert table.table(kept) in (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")


def test_rows_with_a_bar_come_from_all_benchmarks(bench):
    with_bar, without = {"name": "a", "bar": 1.0}, {"name": "b", "bar": None}
    benchmarks = {"one": {"rows": [without, with_bar]}, "two": {"rows": [with_bar, without]}}
    assert bench("table").rows_of(benchmarks, "bars") == [with_bar, with_bar]
    assert bench("table").rows_of(benchmarks, "two") == [with_bar, without]
