"""The page of a whole store: what stands in it, what is folded, and that it stays small."""

from dataclasses import replace

import pytest

from amlora.report.page import Known

from .conftest import AM_LORA, MakeRun, record_of
from .made_store import ATTENTIVE, KNOWN, METHODS, ORDERS, SEEDS, make_store, run_record
from .parsed_page import Page
from .test_page import build_page, check_whole

RUNS = len(METHODS) * len(ORDERS) * len(SEEDS) + 9


@pytest.fixture(scope="module")
def text(make_run: MakeRun) -> str:
    return build_page(make_store(make_run), KNOWN)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_it_is_one_safe_file_of_bearable_size(text: str, page: Page):
    check_whole(text, page)
    assert len(text.encode()) < 2_000_000


def test_streams_stand_apart_in_the_papers_order(page: Page):
    assert page.of("h2") == [
        *("Order 1 on small", "Order 2 on small", "Beside published numbers"),
        *("How learning rates were chosen", "Runs"),
    ]
    assert any("Compare only runs of the same stream" in said for said in page.of("p"))


def test_each_run_is_folded_below_a_target_that_a_seed_leads_to(page: Page):
    anchors = [found["id"] for found in page.having("details", **{"class": "run"})]
    assert anchors == [f"run-{number}" for number in range(1, RUNS + 1)]
    assert {f"#{anchor}" for anchor in anchors} <= set(page.links())
    told = page.of("summary")
    assert "am_lora, seed 0" in told and told.count("ewc, seed 2") == len(ORDERS)


def test_all_figures_that_the_runs_allow_are_drawn_and_listed(page: Page):
    for short, label in {
        "Each task over the stages": "Accuracy on dbpedia, per cent, after each stage",
        "Figure 3": "Line of with: am_lora",
        "Figure 4": "Mean attention scores on dbpedia, q_proj: LoRAs by layer",
        "Figure 5": "average, %, of NR, NR + L1, AR, AR + L1",
        "How often scores pick the task's own LoRA": "Rate of right picks by layer, per cent,"
        " q_proj",
    }.items():
        assert short in page.of("a") and label in page.drawn()
    assert page.of("a").count("Figure 3") == 2 and page.of("a").count("Figure 5") == 1


def test_attention_of_many_runs_is_in_tables_and_not_drawn_run_by_run(page: Page):
    assert (
        page.of("caption").count("Mean attention per task and LoRA") == len(ATTENTIVE) * 2 * 3 + 9
    )
    assert any("drawn in a report of this run alone" in said for said in page.of("p"))


def test_pairs_are_told_with_the_smallest_p(page: Page):
    assert ("th", "smallest p") in page.texts
    assert any("With 3 seeds no p can lie below 0.25" in said for said in page.of("li"))


def test_runs_on_dev_rows_are_rows_of_the_choices_and_no_sections(page: Page):
    assert ("th", "am_lora, order 1") in page.texts
    assert {("td", "chosen"), ("td", "the loss is not a number")} <= set(page.texts)
    assert ("th", "select-sin_lora, sin_lora, seed 0") in page.texts
    assert not [said for said in page.of("summary") if "select" in said]


def test_published_numbers_stand_beside_the_runs(page: Page):
    assert "O-LoRA's logs" in page.of("td")
    bold = [found for found in page.having("tr") if found.get("class") == "bold"]
    assert len(bold) > len(METHODS)


def test_parts_without_their_data_do_not_appear(make_run: MakeRun):
    names = ("ewc", "l2p", "replay", "seq_ft", "sin_lora")
    page = Page(build_page([make_run(run_record(name), measured=None) for name in names]))
    assert page.of("h2") == ["Comparison", "Runs"]
    assert page.of("h3") == ["Methods", "Each task over the stages"]
    assert "Runs (5)" in page.of("a")
    bare = make_run(run_record("am_lora"))
    assert "Beside published numbers" not in build_page([bare])
    assert "Beside published numbers" in build_page([bare], KNOWN)


def test_a_table_that_cannot_be_made_says_why_and_the_rest_stands(make_run: MakeRun):
    records = [run_record("am_lora"), run_record("am_lora")]
    records[1]["stream_digest"] = "77" * 32  # the same cell of the table, on other rows
    page = Page(build_page([make_run(record) for record in records], KNOWN))
    said = [line for line in page.of("li") if line.startswith("Table 1 is not shown")]
    assert len(said) == 1 and "two runs of one cell" in said[0]
    sections = [found["id"] for found in page.having("section")]
    assert sections == ["stream-1", "stream-2", "paper", "choices", "run-1", "run-2"]


def test_streams_that_look_alike_are_told_apart(make_run: MakeRun):
    records = [record_of(name, AM_LORA) for name in "xyz"]
    records[1]["stream_digest"], records[2]["stream_digest"] = "c3" * 32, "c4" * 32
    records[2]["model"]["name"] = "large"
    found = Page(build_page([make_run(each) for each in records])).of("h2")[:3]
    assert found == [
        f"sms, topic, film, kind on {model}, stream {digest * 4}, weights f0f0f0f0"
        for model, digest in (("large", "c4"), ("small", "a7"), ("small", "c3"))
    ]


def test_too_many_lines_are_drawn_one_per_method(make_run: MakeRun):
    folders = [
        make_run(run_record(name, method="am_lora", settings={"rank": number}))
        for number, name in enumerate(["am_lora", *(f"variant-{n:02}" for n in range(14))], start=1)
    ]
    folders.append(make_run(run_record("sin_lora")))
    page = Page(build_page(folders, replace(KNOWN, orders={}, choices=())))
    lines = [label for label in page.drawn() if label.startswith("Line of")]
    assert lines == ["Line of am_lora", "Line of sin_lora"]
    assert any(said.startswith("In the table alone: variant-00, ") for said in page.of("li"))


def test_names_in_a_store_are_shown_as_text(make_run: MakeRun):
    hostile = "<script>alert(1)</script>"
    records = [run_record("am_lora", settings={"rank": number}) for number in range(5)]
    folders = [make_run(each | {"name": f"{hostile} {n}"}) for n, each in enumerate(records)]
    text = build_page(folders, Known())
    assert "<script" not in text and Page(text).balanced
    assert f"{hostile} 3" in Page(text).of("summary")
