"""The published tables against the matrices of O-LoRA's logs, and the tables against themselves."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from amlora.evaluate import metrics
from amlora.report.paper import published, span

# The logs' matrices, with their source inside: tests/evaluate/test_metrics.py has what they give.
LOGS = json.loads((Path(__file__).parent / "data" / "published_matrices.json").read_text())["runs"]
# logs_and_outputs/order1_seqlora of the same commit, whose third stage has no all_results.json.
LOGS["order1_seqlora"] = {
    "tasks": ["dbpedia", "amazon", "yahoo", "agnews"],
    "R": [
        [98.7105],
        [87.0789, 58.4737],
        [None, None, None],
        [59.0526, 39.7105, 62.5395, 90.1974],
    ],
}
RUN_OF = {  # method and order of a table row: the log it was computed from
    ("seq_ft", "1"): "order1_seqft",
    ("sin_lora", "1"): "order1_seqlora",
    ("inc_lora", "1"): "order1_icrlora",
    ("o_lora", "1"): "order1_olora",
    ("sin_lora", "6"): "long_seqlora",
    ("inc_lora", "6"): "long_icrlora",
    ("o_lora", "6"): "long_olora",
}


def matrix(name: str) -> list[list[float | None]]:
    """A published lower triangle, per cent, with what was not measured as None."""
    tasks = len(LOGS[name]["tasks"])
    return [[None] * tasks, *([*row, *[None] * (tasks - len(row))] for row in LOGS[name]["R"])]


def source(label: str) -> dict[str, Any]:
    (found,) = [each for each in published()["1"]["sources"] if each["label"] == label]
    return found


def test_every_log_stands_in_the_table():
    stated = {
        (row["method"], order) for row in source("O-LoRA's logs")["rows"] for order in row["values"]
    }
    assert stated == set(RUN_OF) and set(RUN_OF.values()) == set(LOGS)


@pytest.mark.parametrize(("method", "order"), list(RUN_OF), ids=list(RUN_OF.values()))
def test_figures_of_logs_are_what_our_metrics_make_of_their_matrices(method: str, order: str):
    (row,) = [each for each in source("O-LoRA's logs")["rows"] if each["method"] == method]
    R = matrix(RUN_OF[method, order])
    assert row["values"][order] == pytest.approx(metrics.average(R), abs=0.006)
    for stated, found in (
        (row.get("forgetting", {}), metrics.forgetting(R)),
        (row.get("learning_accuracy", {}), metrics.learning_accuracy(R)),
    ):
        # A log that lacks a stage has neither.
        assert (order in stated) == (found is not None)
        assert stated.get(order) == (found and pytest.approx(found, abs=0.006))


@pytest.mark.parametrize("number", ["1", "2"])
def test_averages_are_those_of_their_orders_but_for_one_misprint(number: str):
    table = published()[number]
    off: list[tuple[str, str]] = []
    for each in table["sources"]:
        for row in each["rows"]:
            for group in table["groups"]:
                orders = [row["values"][order] for order in group if order in row["values"]]
                if len(orders) == len(group) and span(group) in row["values"]:
                    gap = abs(fmean(orders) - row["values"][span(group)])
                    if gap > 0.1:
                        off.append((row["method"], span(group)))
    assert off == ([("l2p", "1-3")] if number == "1" else [])


def test_the_paper_has_every_cell_of_its_table():
    table = published()["1"]
    columns = {column for group in table["groups"] for column in (*group, span(group))}
    assert [row["method"] for row in source("paper")["rows"]] == [
        each["name"] for each in table["methods"]
    ]
    assert all(set(row["values"]) == columns for row in source("paper")["rows"])


@pytest.mark.parametrize("number", ["1", "2"])
def test_a_source_names_methods_and_columns_of_its_table_and_where_it_was_read(number: str):
    table = published()[number]
    columns = {column for group in table["groups"] for column in (*group, span(group))}
    methods = {method["name"] for method in table["methods"]}
    words = {"label", "cite", "read", "setting", "rows"}
    cells = {"method", "variant", "values", "forgetting", "learning_accuracy"}
    for each in table["sources"]:
        assert {*each} == words and each["read"] in ("primary", "secondary")
        assert each["cite"] and each["setting"] and each["rows"]
        for row in each["rows"]:
            assert {*row} <= cells and {"method", "values"} <= {*row}
            assert row["method"] in methods and row["values"] and set(row["values"]) <= columns
            assert all(0 <= value <= 100 for value in row["values"].values())


def test_the_reruns_differ_from_the_copied_rows_as_the_remarks_say():
    rows = {
        (each["label"], row["method"]): row["values"]
        for each in published()["1"]["sources"]
        for row in each["rows"]
        if "variant" not in row
    }
    said = " ".join(published()["1"]["remarks"])
    for method in ("seq_ft", "sin_lora"):
        for label in ("paper", "MIGU's rerun"):
            assert f"{rows[label, method]['1-3']} and {rows[label, method]['4-6']}" in said
    assert f"32.0 for SinLoRA in order 6 where it has {rows['paper', 'sin_lora']['6']}" in said
    assert f"67.8 for SeqFT in order 1 where the table has {rows['paper', 'seq_ft']['1']}" in said
    assert rows["paper", "l2p"]["1-3"] == 60.7
    near = {method: values for (label, method), values in rows.items() if label == "LB-CL's rerun"}
    assert "39.3 and 4.2" in said and list(near["sin_lora"].values()) == [39.3, 4.2]
    for method, values in near.items():
        for column, value in values.items():
            assert abs(value - rows["paper", method][column]) < 5
