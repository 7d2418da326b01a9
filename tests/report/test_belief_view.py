"""What a run took its rows for, on the page: numbers by hand, and nothing where none were told."""

import json
from pathlib import Path
from typing import Any

import pytest

from amlora import files
from amlora.errors import InputError
from amlora.records.store import read_run
from amlora.report.belief_view import SHOWN, belief_sheets
from amlora.report.page import build_page
from paired_runs import change, write_run

from .parsed_page import Page

BELIEFS = {
    "a": [({"a": 0.998, "b": 0.002}, 0.25), ({"a": 0.4, "b": 0.6}, 0.75)],
    "b": [({"b": 1.0}, 0.5), ({"b": 0.9, "a": 0.1}, 1.5)],
}


def staged(folder: Path, beliefs: dict[str, list[tuple[dict[str, float], float]]]) -> Path:
    """Give the last evaluation's rows of a run what they were taken for."""
    lines: list[dict[str, Any]] = []
    for text in (folder / "rows.jsonl").read_text().splitlines():
        line = json.loads(text)
        if line["phase"] == "learned":
            at = int(line["row"].partition(":")[2])
            posterior, distance = beliefs[line["task"]][at]
            likeliest = "none" if distance > 1 else max(posterior, key=lambda name: posterior[name])
            told = {"posterior": posterior, "distance": distance}
            line = {**line, "stages": {likeliest: 1.0}, **told}
        lines.append(line)
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    routing = {"stages": ["none", *beliefs], "tasks": list(beliefs), "shares": [[0.0] * 3] * 2}
    change(folder, routing=routing, rows_digest=files.sha256_file(folder / "rows.jsonl"))
    return folder


def test_tasks_are_summed_up_and_the_least_sure_rows_come_first(tmp_path: Path):
    folder = staged(write_run(tmp_path, "anchored_lora", {"a": "10", "b": "11"}), BELIEFS)
    tasks, rows = belief_sheets(read_run(folder))
    assert [list(row) for row in tasks.rows] == [
        ["a", "2", "50.0", "0.0", "0.699", "0.400", "0.50", "0.75"],
        ["b", "2", "50.0", "50.0", "0.950", "0.900", "1.00", "1.50"],
    ]
    assert [list(row) for row in rows.rows] == [
        ["b, test:1", "b 0.900, a 0.100", "1.50", "none", "right"],
        ["a, test:1", "b 0.600, a 0.400", "0.75", "b", "wrong"],
        ["a, test:0", "a 0.998, b 0.002", "0.25", "a", "right"],
        ["b, test:0", "b 1.000", "0.50", "b", "right"],
    ]
    page = Page(build_page([folder]))
    assert page.balanced and "b 0.600, a 0.400" in page.of("td")


def test_only_some_rows_are_listed(tmp_path: Path):
    hits = {"a": "1" * 30, "b": "10"}
    beliefs = {"a": [({"a": 1.0}, 0.1)] * 30, "b": BELIEFS["b"]}
    folder = staged(write_run(tmp_path, "anchored_lora", hits), beliefs)
    tasks, rows = belief_sheets(read_run(folder))
    assert [row[1] for row in tasks.rows] == ["30", "2"] and len(rows.rows) == SHOWN


def test_a_run_without_stages_has_none(tmp_path: Path):
    assert belief_sheets(read_run(write_run(tmp_path, "sin_lora", {"a": "10", "b": "11"}))) == ()


def test_altered_rows_are_refused(tmp_path: Path):
    folder = staged(write_run(tmp_path, "anchored_lora", {"a": "10", "b": "11"}), BELIEFS)
    rows = folder / "rows.jsonl"
    rows.write_text(rows.read_text().replace("0.75", "0.25"))
    with pytest.raises(InputError, match="altered"):
        belief_sheets(read_run(folder))
