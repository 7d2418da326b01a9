"""The paper's tables: which runs stand in which cell, with which interval, and what is said."""

import csv
import io
import re
from typing import Any

import pytest

from amlora.cli.table import DECIDE, protocols
from amlora.errors import InputError
from amlora.evaluate.metrics import summary
from amlora.evaluate.statistics import paired_bootstrap, seed_interval
from amlora.report.compare import OVER
from amlora.report.format import MINUS
from amlora.report.format import MISSING as DASH
from amlora.report.paper import paper_sheets, published, rounded
from amlora.report.write import Sheet, write
from amlora.streams import catalogue

from .conftest import AM_LORA, FACTS, SIN_LORA, record_of, runs_of

PROTOCOLS = protocols()
T5 = {"name": "google-t5/t5-large", "parameters": 737_668_096, "fingerprint": "a1" * 32}
LLAMA = {"name": "/models/Llama-2-7b-hf/", "parameters": 6_738_415_616, "fingerprint": "b2" * 32}
SMALL = {"name": "/models/small", "parameters": 1000, "fingerprint": "c3" * 32}


def settings(protocol: str) -> dict[str, Any]:
    """Return settings that a run by this protocol records, as far as it decides them."""
    found: dict[str, Any] = {section: {} for section in DECIDE}
    for key, value in PROTOCOLS[protocol].items():
        section, _, name = key.partition(".")
        found[section][name] = value
    found["train"].setdefault("lr", 1e-3)
    return found


def record(
    method: str = "am_lora",
    *,
    order: str = "1",
    seed: int = 0,
    R: Any = AM_LORA,
    protocol: str = "paper",
    model: dict[str, Any] = T5,
    **changed: Any,
) -> dict[str, Any]:
    """Return the record of a run of an order of four tasks; `changed` has dotted settings."""
    tasks = catalogue.orders()[order]
    made = record_of(changed.pop("name", method), R, seed=seed, tasks=tasks)
    made["method"] = method
    made["stream_digest"] = changed.pop("digest", order * 64)
    made["model"] |= model
    made["settings"] = settings(protocol) | {"name": made["name"], "seed": seed}
    made["settings"]["stream"]["order"] = order
    made["settings"]["model"]["name"] = model["name"]
    made["settings"]["method"] = {"name": method}
    for key, value in changed.items():
        section, _, name = key.partition("__")
        made["settings"][section][name] = value
    return made


def shifted(by: float) -> list[list[float]]:
    return [list(AM_LORA[0]), *[[value + by for value in row] for row in AM_LORA[1:]]]


def sheets(*records: dict[str, Any], number: str = "1") -> tuple[list[Sheet], list[str]]:
    runs = runs_of(*(records or [record(order="1", model=LLAMA)]))
    runs = runs[: len(records)]
    known = {"orders": catalogue.orders(), "protocols": PROTOCOLS, "facts": FACTS}
    return paper_sheets(number, runs, **known)


def sheet(*records: dict[str, Any], number: str = "1") -> Sheet:
    ((made,), _) = sheets(*records, number=number)
    return made


def lines(made: Sheet, method: str = "am_lora") -> dict[str, dict[str, dict[str, Any]]]:
    """Return a method's own cells by source and column."""
    assert made.values is not None
    values = made.values.to_dict("records")
    own = [row for row in values if (row["method"], row["read"]) == (method, "own")]
    sources = dict.fromkeys(row["source"] for row in own)
    return {
        source: {row["column"]: row for row in own if row["source"] == source} for source in sources
    }


def ours(made: Sheet, method: str = "am_lora") -> dict[str, dict[str, Any]]:
    (cells,) = lines(made, method).values()
    return cells


def ends(cell: dict[str, Any]) -> tuple[float, float]:
    return cell["low"], cell["high"]


def test_a_cell_is_the_mean_over_seeds_with_its_t_interval():
    made = sheet(*(record(seed=seed, R=shifted(-0.05 * seed)) for seed in range(3)))
    cell = ours(made)["1"]
    assert (cell["value"], cell["seeds"], cell["interval"]) == (
        *(pytest.approx(71.5), [0, 1, 2], "seeds"),
    )
    assert ends(cell) == pytest.approx(seed_interval([76.5, 71.5, 66.5]).interval)
    # Two of three orders have no run, so there is no average of them.
    assert {*ours(made)} == {"1", "forgetting 1-3", "learning 1-3"}
    assert OVER["seeds"] in made.legend and OVER["rows"] not in made.legend


def test_a_single_run_has_the_bootstrap_interval_of_its_test_rows():
    made = sheet(record(R=[*AM_LORA[:-1], [0.5, 0.75, 1.0, 0.25]]))
    cell = ours(made)["1"]
    hits = [[100.0] * n + [0.0] * (60 - n) for n in (30, 45, 60, 15)]
    assert ends(cell) == paired_bootstrap(hits, [[0.0] * 60] * 4, seed=0).interval
    assert (cell["value"], cell["interval"]) == (pytest.approx(62.5), "rows")
    assert OVER["rows"] in made.legend and OVER["seeds"] not in made.legend
    assert re.search(r"\| 62\.5 \(\d\d\.\d, \d\d\.\d\) \|", write([made], "markdown"))


def test_an_average_needs_all_orders_and_its_interval_equal_seeds():
    runs = [
        record(order=order, seed=seed, R=shifted(-0.02 * int(order) * (1 + seed)))
        for order in "123"
        for seed in (0, 1)
    ]
    cell = ours(sheet(*runs))["1-3"]
    by_seed = [76.5 - 4.0, 76.5 - 8.0]
    assert cell["value"] == pytest.approx(sum(by_seed) / 2)
    assert ends(cell) == pytest.approx(seed_interval(by_seed).interval)
    fewer = ours(sheet(*runs[:-1]))["1-3"]
    assert fewer["value"] == pytest.approx((73.5 + 70.5 + 70.5) / 3)
    assert ours(sheet(*runs[:-1]))["1-3"]["interval"] == ""


def test_forgetting_and_learning_accuracy_are_over_the_orders_that_were_run():
    cells = ours(sheet(record(), record(order="2", R=SIN_LORA)))
    found = [summary(R, [60] * 4) for R in (AM_LORA, SIN_LORA)]
    for column, name in (("forgetting 1-3", "forgetting"), ("learning 1-3", "learning_accuracy")):
        mean = 50 * sum(value for each in found if (value := each[name]) is not None)
        assert cells[column]["value"] == pytest.approx(mean)
    assert "forgetting 4-6" not in cells


def test_published_numbers_stand_before_ours_and_are_not_changed():
    shown = sheet(record("seq_ft")).shown
    rows = shown[shown["method"] == "SeqFT"].set_index("from")
    assert [*rows.index] == ["paper", "O-LoRA's logs", "MIGU's rerun", "ours, rate 0.0001"]
    columns = ["order 1", "average 1-3", "average 4-6", "forgetting 1-3"]
    assert rows[columns].to_numpy().tolist()[:3] == [
        *(["18.9", "28.5", "7.4", DASH], ["67.8", DASH, DASH, "14.5"], [DASH, "75.7", "68.3", DASH])
    ]


def test_halves_are_rounded_as_in_print():
    # 46.25 and 79.25 are exact in binary, so that round-half-even would give 46.2 and 79.2.
    shown = [rounded(value) for value in (46.25, 79.25, 14.55, 66.0, -0.04, -0.05)]
    assert shown == ["46.3", "79.3", "14.6", "66.0", "0.0", f"{MINUS}0.1"]


def test_cells_without_a_run_are_counted():
    made = sheet(record(), record(order="2"), record("anchored_lora"))
    (note,) = made.notes  # a method that the paper does not have is no cell of its table
    assert note.startswith("No run: 70 of 72 cells (SeqFT 1, 2, 3, 4, 5, 6; ")
    assert "; AM-LoRA 3, 4, 5, 6; " in note


def test_without_any_run_the_published_table_stands_alone_and_says_so():
    made = sheet()
    assert (made.title, made.about) == ("Table 1 of the paper: T5-large", ["Ours: no run."])
    assert made.notes[0].startswith("No run: 72 of 72 cells")
    assert "28.5" in made.shown["average 1-3"].tolist()


def test_another_base_model_is_another_table_that_names_it_above_and_in_each_row():
    ((own, other), _) = sheets(record(model=SMALL), record())
    assert "small" not in write([own], "text")
    assert other.title == "Table 1 of the paper: T5-large; ours: small, another base model"
    warning, said = other.about
    assert warning.startswith("The base model of ours is /models/small and not T5-large")
    assert said.startswith("Ours: base model /models/small, protocol paper (prompt form full")
    assert [*lines(other)] == ["ours, small, rate 0.0001"]
    # In CSV and JSON published numbers stand once.
    rows = list(csv.DictReader(io.StringIO(write([own, other], "csv"))))
    assert len([row for row in rows if row["source"] == "paper"]) == 12 * 8
    assert {row["model"] for row in rows} == {"T5-large", T5["name"], SMALL["name"]}


@pytest.mark.parametrize("changed", [{"parameters": 1000}, {"name": "google/flan-t5-large"}])
def test_a_model_is_the_papers_by_name_and_size_together(changed):
    assert sheet(record(model=T5 | changed)).title.endswith("another base model")


def test_a_protocol_is_named_with_what_differs_from_it():
    lacking = record(seed=1)
    del lacking["settings"]["model"]["dropout"]
    (found, _) = sheets(
        record(),
        lacking,
        record(protocol="clean", train__lr=3e-3),
        record(protocol="clean", stream__form="blind", stream__test_per_class=250),
        record(train__lr=1e-3),
    )
    said = [re.findall(r"protocol (.*), seed", made.about[0])[0] for made in found]
    assert said == [
        "clean (prompt form full, prefix off)",
        "clean with stream.form = blind, stream.test_per_class = 250"
        " (prompt form blind, prefix off)",
        "paper (prompt form full, prefix task+dataset)",
        "paper with model.dropout = not recorded (prompt form full, prefix task+dataset)",
        "paper with train.lr = 0.001 (prompt form full, prefix task+dataset)",
    ]


def test_runs_of_no_order_and_of_the_other_tables_model_are_left_out_and_counted():
    own_tasks, fewer = record(seed=1), record_of("am_lora", AM_LORA, seed=2)
    own_tasks["settings"]["stream"]["order"] = ""
    fewer["settings"]["stream"]["order"] = "1"
    ((made,), notes) = sheets(own_tasks, fewer, record(model=LLAMA), record())
    assert ours(made)["1"]["seeds"] == [0]
    assert notes == [
        "Left out: runs that are not of orders 1, 2, 3, 4, 5, 6: 2.",
        "Left out: runs of the other table's base model: 1.",
    ]
    ((second,), notes) = sheets(record(model=LLAMA), record(), number="2")
    assert ours(second)["1"]["value"] == pytest.approx(76.5) and "another" not in second.title
    assert notes == ["Left out: runs of the other table's base model: 1."]


def test_what_belongs_to_an_order_does_not_split_a_line():
    first = {"method__sparsity": [1e-5] * 4, "train__lr": 1e-3, "evaluate__scope": "needed"}
    second = {"method__sparsity": [1e-3] * 4, "train__lr": 1e-2, "evaluate__scope": "learned"}
    made = sheet(record(protocol="clean", **first), record(order="2", protocol="clean", **second))
    ((source, cells),) = lines(made).items()
    assert source == "ours, rate 0.001 to 0.01" and {"1", "2"} < {*cells}


def test_other_settings_of_a_method_are_another_line_told_apart():
    made = sheet(
        record("replay", method__trainable="all"),
        record("replay", method__trainable="lora"),
        record("mean_lora", name="one", method__rank=4),
        record("mean_lora", name="two", method__rank=8),
    )
    assert [*lines(made, "replay")] == ["ours, LoRA form, rate 0.0001", "ours, rate 0.0001"]
    assert [*lines(made, "mean_lora")] == ["ours, rate 0.0001, one", "ours, rate 0.0001, two"]


def test_rates_of_one_order_are_not_averaged_over():
    made = sheet(
        record(protocol="clean", train__lr=1e-3),
        record(protocol="clean", train__lr=1e-2, seed=1, R=SIN_LORA),
    )
    found = {source: cells["1"]["seeds"] for source, cells in lines(made).items()}
    assert found == {"ours, rate 0.001": [0], "ours, rate 0.01": [1]}


@pytest.mark.parametrize("changed", [{}, {"seed": 1, "digest": "9" * 64}])
def test_runs_that_cannot_share_a_cell_are_refused(changed):
    with pytest.raises(InputError, match=r"^runs/am_lora-.* and runs/.*: two runs of one cell"):
        sheets(record(), record(**changed))


def test_lines_of_other_data_are_told():
    said = "Not all of ours had the same rows of data, in orders: 1."
    assert said in sheet(record(), record("seq_ft", digest="9" * 64), record(order="2")).notes
    assert said not in sheet(record(), record("seq_ft")).notes


def test_versions_of_a_method_are_rows_of_their_own_and_named():
    new = record(seed=1) | {"method_version": 2}
    made = sheet(record(), new, record("seq_ft"))
    assert [*lines(made)] == [f"ours, version {at}, rate 0.0001" for at in (1, 2)]
    assert [*lines(made, "seq_ft")] == ["ours, rate 0.0001"]


def test_methods_that_need_a_task_id_or_keep_examples_are_marked_in_every_row():
    marks = {}
    for kept in (0, 3):
        made = record("replay")
        for stage in made["stages"]:
            stage["stored_examples"] = kept
        shown = sheet(made).shown
        names = shown["method"].where(shown["from"].str.startswith("ours"))
        marks[kept] = [name for name in names if str(name).startswith("Replay")]
        assert {*shown["method"][shown["method"].str.startswith("ProgPrompt")]} == {"ProgPrompt †"}
        assert {*shown["method"][shown["from"] == "paper"]} >= {"Replay ‡", "EWC"}
    assert marks == {0: ["Replay"], 3: ["Replay ‡"]}  # of ours only where a run kept one


def test_the_legend_says_that_baselines_were_copied_and_what_reruns_gave():
    made = sheet()
    said = "\n".join(made.legend)
    for fact in ("baselines are copied", "do not survive reruns", "(arXiv 2406.17245) has 75.7"):
        assert fact in said
    assert "LB-CL's rerun *" in made.shown["from"].tolist() and "* secondary: not read in" in said
    assert "MIGU's rerun" in made.shown["from"].tolist()
    assert all(source["label"] in said for source in published()["1"]["sources"])


def test_equal_runs_give_equal_bytes_whatever_their_order():
    made = [
        record(),
        record(seed=1, R=SIN_LORA),
        record("mean_lora", name="a", method__rank=4),
        record("mean_lora", name="b", method__rank=8),
        record(protocol="clean"),
        record(model=LLAMA | {"name": "other"}),
    ]
    for form in ("text", "json"):
        assert write(sheets(*made)[0], form) == write(sheets(*made[::-1])[0], form)


def test_the_shipped_protocols_decide_by_settings_that_there_are():
    assert [*PROTOCOLS] == ["paper", "clean"]
    # Clean chooses its rate for each method.
    assert {*PROTOCOLS["paper"]} - {*PROTOCOLS["clean"]} == {"train.lr"}
    decided = PROTOCOLS["paper"]["train.lr"], PROTOCOLS["clean"]["stream.prefix"]
    assert decided == (1e-4, "off")
