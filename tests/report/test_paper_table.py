"""The paper's tables: which runs stand in which cell, with which interval, and what is said."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest

from amlora import files
from amlora.cli import main as command
from amlora.cli.paper_table import DECIDE, protocols
from amlora.errors import InputError
from amlora.evaluate.metrics import summary
from amlora.evaluate.statistics import paired_bootstrap, seed_interval
from amlora.records.store import read_run
from amlora.report.format import MINUS
from amlora.report.methods_table import Facts
from amlora.report.paper_render import Format, number, render
from amlora.report.paper_table import PaperTable, TableRow, paper_tables
from amlora.report.published import published
from amlora.streams import catalogue

from .conftest import AM_LORA, SIN_LORA, MakeRun, record_of

FORMS = get_args(Format)
PROTOCOLS = protocols()
FACTS = {
    "prog_prompt": Facts(needs_task_id=True, stores_examples=False),
    "replay": Facts(needs_task_id=False, stores_examples=True),
}
T5 = {"name": "google-t5/t5-large", "parameters": 737_668_096, "fingerprint": "a1" * 32}
LLAMA = {"name": "/models/Llama-2-7b-hf/", "parameters": 6_738_415_616, "fingerprint": "b2" * 32}


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


@pytest.fixture
def tables(make_run: MakeRun):
    def make(*records: dict[str, Any], number: str = "1") -> tuple[list[PaperTable], list[str]]:
        return paper_tables(
            number,
            [read_run(make_run(each)) for each in records],
            orders=catalogue.orders(),
            protocols=PROTOCOLS,
            facts=FACTS,
        )

    return make


def ours(table: PaperTable, method: str = "am_lora") -> TableRow:
    (row,) = [row for row in table.rows if (row.method, row.read) == (method, "own")]
    return row


def test_a_cell_is_the_mean_over_seeds_with_its_t_interval(tables):
    ((table,), _) = tables(*(record(seed=seed, R=shifted(-0.05 * seed)) for seed in range(3)))
    cell = ours(table).cells["1"]
    expected = seed_interval([76.5, 71.5, 66.5])
    assert cell.value == pytest.approx(71.5) and cell.seeds == (0, 1, 2)
    assert cell.over == "seeds" and cell.interval == pytest.approx(expected.interval)
    # Two of three orders have no run, so there is no average of them.
    assert set(ours(table).cells) == {"1", "forgetting 1-3", "learning 1-3"}


def test_a_single_run_has_the_bootstrap_interval_of_its_test_rows(tables):
    ((table,), _) = tables(record(R=[*AM_LORA[:-1], [0.5, 0.75, 1.0, 0.25]]))
    cell = ours(table).cells["1"]
    hits = [[100.0] * n + [0.0] * (60 - n) for n in (30, 45, 60, 15)]
    expected = paired_bootstrap(hits, [[0.0] * 60] * 4, seed=0).interval
    assert (cell.value, cell.over, cell.interval) == (pytest.approx(62.5), "rows", expected)
    assert cell.interval is not None and cell.interval.low < 62.5 < cell.interval.high


def test_an_average_needs_all_orders_and_its_interval_equal_seeds(tables):
    runs = [
        record(order=order, seed=seed, R=shifted(-0.02 * int(order) * (1 + seed)))
        for order in "123"
        for seed in (0, 1)
    ]
    ((table,), _) = tables(*runs)
    cell = ours(table).cells["1-3"]
    by_seed = [76.5 - 4.0, 76.5 - 8.0]
    assert cell.value == pytest.approx(sum(by_seed) / 2)
    assert cell.interval == pytest.approx(seed_interval(by_seed).interval)
    ((fewer,), _) = tables(*runs[:-1])
    assert ours(fewer).cells["1-3"].value == pytest.approx((73.5 + 70.5 + 70.5) / 3)
    assert ours(fewer).cells["1-3"].interval is None


def test_forgetting_and_learning_accuracy_are_over_the_orders_that_were_run(tables):
    ((table,), _) = tables(record(), record(order="2", R=SIN_LORA))
    found = [summary(R, [60] * 4) for R in (AM_LORA, SIN_LORA)]
    for column, name in (("forgetting 1-3", "forgetting"), ("learning 1-3", "learning_accuracy")):
        mean = 50 * sum(value for each in found if (value := each[name]) is not None)
        assert ours(table).cells[column].value == pytest.approx(mean)
    assert "forgetting 4-6" not in ours(table).cells


def test_published_numbers_and_reruns_stand_before_ours_and_are_not_changed(tables):
    ((table,), _) = tables(record("seq_ft"))
    rows = [row for row in table.rows if row.method == "seq_ft"]
    assert [row.source for row in rows] == [
        *("paper", "O-LoRA's logs", "MIGU's rerun"),
        "ours, rate 0.0001",
    ]
    assert [rows[0].cells[key].value for key in ("1", "1-3", "4-6")] == [18.9, 28.5, 7.4]
    assert rows[1].cells["forgetting 1-3"].value == 14.50
    assert {name: cell.value for name, cell in rows[2].cells.items()} == {"1-3": 75.7, "4-6": 68.3}
    assert all(cell.interval is None for row in rows[:3] for cell in row.cells.values())


def test_cells_without_a_run_are_empty_and_counted(tables):
    ((table,), _) = tables(record(), record(order="2"))
    assert (table.expected, table.empty) == (12 * 6, 12 * 6 - 2)
    said = render([table], "text")
    assert "No run: 70 of 72 cells (SeqFT 1, 2, 3, 4, 5, 6; " in said
    assert "; AM-LoRA 3, 4, 5, 6; " in said
    assert ours(table, "mtl").cells == {}


def test_without_any_run_the_published_table_stands_alone_and_says_so(tables):
    ((table,), notes) = tables()
    said = render([table], "text", notes)
    assert said.startswith("Table 1 of the paper: T5-large\nOurs: no run.\n")
    assert "No run: 72 of 72 cells" in said and "28.5" in said


def test_another_base_model_is_another_table_that_names_it_above_and_in_each_row(tables):
    small = {"name": "/models/small", "parameters": 1000, "fingerprint": "c3" * 32}
    (found, _) = tables(record(model=small), record())
    assert [table.side.own_model for table in found] == [True, False]
    own, other = (render([table], "text") for table in found)
    assert "small" not in own and "ours, rate 0.0001" in own
    title, warning, said, *_ = other.splitlines()
    assert title == "Table 1 of the paper: T5-large; ours: small, another base model"
    assert warning.startswith("The base model of ours is /models/small and not T5-large")
    assert said.startswith("Ours: base model /models/small, protocol paper (prompt form full")
    assert ours(found[1]).source == "ours, small, rate 0.0001"


@pytest.mark.parametrize("changed", [{"parameters": 1000}, {"name": "google/flan-t5-large"}])
def test_a_model_is_the_papers_by_name_and_size_together(tables, changed):
    ((table,), _) = tables(record(model=T5 | changed))
    assert table.side is not None and not table.side.own_model


def test_a_protocol_is_named_with_what_differs_from_it(tables):
    runs = [
        record(),
        record(protocol="clean", train__lr=3e-3),
        record(protocol="clean", stream__form="blind", stream__test_per_class=250),
        record(train__lr=1e-3),
    ]
    (found, _) = tables(*runs)
    assert [table.side.protocol for table in found] == [
        "clean (prompt form full, prefix off)",
        "clean with stream.form = blind, stream.test_per_class = 250"
        " (prompt form blind, prefix off)",
        "paper (prompt form full, prefix task+dataset)",
        "paper with train.lr = 0.001 (prompt form full, prefix task+dataset)",
    ]


def test_a_setting_that_a_record_lacks_is_not_taken_for_the_protocols(tables):
    made = record()
    del made["settings"]["model"]["dropout"]
    ((table,), _) = tables(made)
    assert table.side is not None
    assert table.side.protocol.startswith("paper with model.dropout = not recorded")


def test_runs_of_no_order_and_of_the_other_tables_model_are_left_out_and_counted(tables):
    own_tasks = record(seed=1)
    own_tasks["settings"]["stream"]["order"] = ""
    fewer = record_of("am_lora", AM_LORA, seed=2)
    fewer["settings"]["stream"]["order"] = "1"
    ((table,), notes) = tables(own_tasks, fewer, record(model=LLAMA), record())
    assert ours(table).cells["1"].seeds == (0,)
    assert notes == [
        "Left out: runs that are not of orders 1, 2, 3, 4, 5, 6: 2.",
        "Left out: runs of the other table's base model: 1.",
    ]
    ((second,), notes) = tables(record(model=LLAMA), record(), number="2")
    assert second.side is not None and second.side.own_model
    assert ours(second).cells["1"].value == pytest.approx(76.5)
    assert [method.name for method in published()["2"].methods] == list(
        dict.fromkeys(row.method for row in second.rows)
    )
    assert notes == ["Left out: runs of the other table's base model: 1."]


def test_lambdas_and_rates_of_an_order_do_not_split_a_line(tables):
    ((table,), _) = tables(
        record(protocol="clean", method__sparsity=[1e-5] * 4, train__lr=1e-3),
        record(order="2", protocol="clean", method__sparsity=[1e-3] * 4, train__lr=1e-2),
    )
    assert set("12") < set(ours(table).cells)
    assert ours(table).source == "ours, rate 0.001 to 0.01"


def test_what_was_scored_besides_does_not_split_a_line(tables):
    ((table,), _) = tables(
        record(protocol="clean", evaluate__scope="needed"),
        record(order="2", protocol="clean", evaluate__scope="learned"),
    )
    assert set("12") < set(ours(table).cells)


def test_other_settings_of_a_method_are_another_line_told_apart(tables):
    ((table,), _) = tables(
        record("replay", method__trainable="all"),
        record("replay", method__trainable="lora"),
        record("mean_lora", name="one", method__rank=4),
        record("mean_lora", name="two", method__rank=8),
    )
    own = [(row.method, row.source) for row in table.rows if row.read == "own" and row.cells]
    assert own == [
        ("replay", "ours, LoRA form, rate 0.0001"),
        ("replay", "ours, rate 0.0001"),
        ("mean_lora", "ours, rate 0.0001, one"),
        ("mean_lora", "ours, rate 0.0001, two"),
    ]
    # A method that the paper does not have is no cell of its table.
    assert table.expected == 72


def test_rates_of_one_order_are_not_averaged_over(tables):
    ((table,), _) = tables(
        record(protocol="clean", train__lr=1e-3),
        record(protocol="clean", train__lr=1e-2, seed=1, R=SIN_LORA),
    )
    rows = [row for row in table.rows if row.method == "am_lora" and row.read == "own"]
    assert [row.source for row in rows] == ["ours, rate 0.001", "ours, rate 0.01"]
    assert [row.cells["1"].seeds for row in rows] == [(0,), (1,)]


@pytest.mark.parametrize("changed", [{}, {"seed": 1, "digest": "9" * 64}])
def test_runs_that_cannot_share_a_cell_are_refused(tables, changed):
    with pytest.raises(InputError, match="two runs of one cell"):
        tables(record(), record(**changed))


def test_lines_of_other_data_are_told(tables):
    ((table,), _) = tables(record(), record("seq_ft", digest="9" * 64), record(order="2"))
    said = render([table], "text")
    assert "Not all of ours had the same rows of data, in orders: 1.\n" in said
    assert "Not all of ours" not in render(tables(record(), record("seq_ft"))[0], "text")


def test_versions_of_a_method_are_rows_of_their_own_and_named(tables):
    old, new = record(), record(seed=1)
    new["method_version"] = 2
    ((table,), _) = tables(old, new, record("seq_ft"))
    rows = [row for row in table.rows if (row.method, row.read) == ("am_lora", "own")]
    wanted = [f"ours, version {version}, rate 0.0001" for version in (1, 2)]
    assert [row.source for row in rows] == wanted
    assert [row.cells["1"].seeds for row in rows] == [(0,), (1,)]
    assert ours(table, "seq_ft").source == "ours, rate 0.0001"


def test_own_runs_that_kept_no_example_are_not_marked(tables):
    counts = {}
    for kept in (0, 3):
        made = record("replay")
        for stage in made["stages"]:
            stage["stored_examples"] = kept
        ((table,), _) = tables(made)
        counts[kept] = ours(table, "replay").stores_examples
        published = [row for row in table.rows if (row.method, row.read) == ("replay", "primary")]
        assert published and all(row.stores_examples for row in published)
    assert counts == {0: False, 3: True}


def test_methods_that_need_a_task_id_or_examples_are_marked_in_every_row(tables):
    said = render(tables(record("replay"))[0], "text")
    lines = said.splitlines()
    for label, mark in (("ProgPrompt", "†"), ("Replay", "‡")):
        rows = [line for line in lines if line.startswith((f"{label}  ", f"{label} {mark}"))]
        assert len(rows) > 2 and all(line.startswith(f"{label} {mark} ") for line in rows)
    assert "† needs a task id for an answer." in lines and "‡ keeps or makes up examples." in lines


def test_the_text_says_that_baselines_were_copied_and_what_reruns_gave(tables):
    said = render(tables()[0], "text")
    assert "The paper's baselines are copied" in said
    assert "do not survive reruns" in said and "(arXiv 2406.17245) has 75.7 and 68.3" in said
    assert "LB-CL's rerun *" in said and "* secondary: not read in the source itself." in said
    assert "MIGU's rerun *" not in said
    for form in FORMS:
        shown = render([*tables(record())[0], *tables(number="2")[0]], form)
        assert not re.search(r"\b(better|best method|outperform|superior|beats?)\b", shown)


def test_brackets_tell_what_an_interval_is_over(tables):
    said = render(tables(record())[0], "text")
    assert re.search(r"76\.5 \(\d\d\.\d, \d\d\.\d\)", said) and "(a, b): a single run" in said
    assert "[a, b]" not in said
    seeds = render(tables(record(), record(seed=1, R=shifted(-0.1)))[0], "text")
    assert re.search(r"71\.5 \[\d\.\d, 1\d\d\.\d\]", seeds) and "(a, b)" not in seeds


def test_halves_are_rounded_as_in_print():
    # 46.25 and 79.25 are exact in binary, so that round-half-even would give 46.2 and 79.2.
    shown = [number(value) for value in (46.25, 79.25, 14.55, 66.0, -0.04, -0.05)]
    assert shown == ["46.3", "79.3", "14.6", "66.0", "0.0", f"{MINUS}0.1"]


def test_an_interval_below_zero_is_shown_with_its_sign(tables):
    runs = [record(seed=seed, R=[*AM_LORA[:-1], [score] * 4]) for seed, score in ((0, 0), (1, 0.2))]
    assert re.search(rf"10\.0 \[{MINUS}\d+\.\d, \d+\.\d\]", render(tables(*runs)[0], "text"))


def test_csv_and_json_have_the_same_numbers_in_full_precision(tables):
    made, _ = tables(record(), record(seed=1, R=shifted(-0.1)), record(order="2"))
    listed = list(csv.DictReader(io.StringIO(render(made, "csv"))))
    (plain,) = json.loads(render(made, "json"))["tables"]
    assert [float(row["value"]) for row in listed] == [n["value"] for n in plain["numbers"]]
    (row,) = [row for row in listed if row["read"] == "own" and row["column"] == "1"]
    assert (row["seeds"], row["interval"], row["table"]) == ("0 1", "seeds", "1")
    assert row["model"] == T5["name"] and row["protocol"].startswith("paper (")
    assert float(row["value"]) == pytest.approx(71.5, abs=1e-12)
    assert plain["own_model"] is True and len(plain["no_run"]) == 12


def test_csv_has_published_numbers_once(tables):
    made, _ = tables(record(), record(protocol="clean"))
    rows = list(csv.DictReader(io.StringIO(render(made, "csv"))))
    assert len([row for row in rows if row["source"] == "paper"]) == 12 * 8
    assert len({row["protocol"] for row in rows}) == 3


def test_latex_has_equal_rows_and_only_ascii(tables):
    said = render(tables(record("replay", model=T5 | {"name": "a_b/small&co"}))[0], "latex")
    body = [line for line in said.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {13}
    assert r"small\&co" in said and not re.search(r"[^\x00-\x7f]", said)


def test_markdown_has_equal_rows_whatever_a_model_is_called(tables):
    said = render(tables(record(model=T5 | {"name": "x/a|b_*"}))[0], "markdown")
    rows = [line for line in said.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {15}
    assert r"a\|b\_\*" in said


class Tags(HTMLParser):
    """Check that every tag is closed in its turn; count the cells of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.widths: list[int] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.widths.append(0)
        if tag in ("td", "th"):
            self.widths[-1] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_a_well_formed_fragment_without_markup_from_outside(tables):
    said = render(tables(record(model=T5 | {"name": "x/<script>"}))[0], "html", ["A <note>."])
    tags = Tags()
    tags.feed(said)
    assert tags.open == [] and set(tags.widths) == {14}
    assert "<script>" not in said and "&lt;script&gt;" in said and "<p>A &lt;note&gt;.</p>" in said


@pytest.mark.parametrize("form", FORMS)
def test_equal_runs_give_equal_bytes_whatever_their_order(make_run: MakeRun, form):
    runs = [
        read_run(make_run(each))
        for each in (
            record(),
            record(seed=1, R=SIN_LORA),
            record("mean_lora", name="a", method__rank=4),
            record("mean_lora", name="b", method__rank=8),
            record(protocol="clean"),
            record(model=LLAMA | {"name": "other"}),
        )
    ]
    given = {"orders": catalogue.orders(), "protocols": PROTOCOLS, "facts": FACTS}
    first = render(*paper_tables("1", runs, **given)[:1], form)
    assert first == render(*paper_tables("1", runs[::-1], **given)[:1], form)
    assert first.endswith("\n") and not first.endswith("\n\n")


def amlora(capsys, *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        command.main([str(word) for word in words])
    assert isinstance(left.value.code, int)
    return left.value.code, *capsys.readouterr()


def test_the_shipped_protocols_decide_by_settings_that_there_are():
    found = protocols()
    assert list(found) == ["paper", "clean"]
    # Clean chooses its rate for each method.
    assert set(found["paper"]) - set(found["clean"]) == {"train.lr"}
    assert (found["paper"]["train.lr"], found["clean"]["stream.prefix"]) == (1e-4, "off")


def test_the_command_makes_the_table_of_a_store(tmp_path: Path, capsys):
    store = tmp_path / "runs"
    for name, each in (("a", record()), ("b", record(seed=1)), ("dev", record(seed=2))):
        each["settings"]["evaluate"]["split"] = "dev" if name == "dev" else "test"
        (store / name).mkdir(parents=True)
        (store / name / "rows.jsonl").write_text("")
        each["settings_digest"] = files.digest(each["settings"])
        each["rows_digest"] = files.sha256_file(store / name / "rows.jsonl")
        files.write_sealed(store / name / "record.json", each)
    out = tmp_path / "table.html"
    status, _, err = amlora(
        capsys, "report", store, "--table", "1", "--format", "html", "--out", out
    )
    assert (status, err) == (0, "")
    assert "seeds 0, 1.</p>" in out.read_text()
    status, shown, _ = amlora(capsys, "report", store, "--table", "2")
    assert status == 0 and "Ours: no run." in shown
    assert "Left out: runs of the other table's base model: 2." in shown
    assert shown.endswith("Left out: runs scored on dev rows: 1.\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--table methods --format html", "--format html: the page is HTML without --table"),
        ("--table 3", "Invalid value for '--table'"),
        ("--table 1", "not a run folder"),
    ],
)
def test_wrong_input_is_one_line(tmp_path: Path, capsys, words, line):
    status, out, err = amlora(capsys, "report", tmp_path, *words.split())
    assert (status, out) == (2, "") and line in err
