"""The page of a whole store: what stands in it, what is folded, and that it stays small."""

from dataclasses import replace
from pathlib import Path

import pytest

from amlora.report.known import Known
from amlora.report.page import build_page

from .conftest import AM_LORA, MakeRun, record_of
from .made_store import KNOWN, METHODS, ORDERS, SEEDS, make_store, run_record
from .parsed_page import Page

RUNS = len(METHODS) * len(ORDERS) * len(SEEDS) + 9


@pytest.fixture(scope="module")
def folders(make_run: MakeRun) -> list[Path]:
    return make_store(make_run)


@pytest.fixture(scope="module")
def text(folders: list[Path]) -> str:
    return build_page(folders, KNOWN)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_order_of_the_folders_does_not_matter(folders: list[Path], text: str):
    assert build_page(folders[::-1], KNOWN) == text


def test_it_is_one_safe_file(text: str, page: Page):
    tags = {tag for tag, _ in page.elements}
    assert page.balanced
    assert not tags & {"script", "link", "img", "iframe", "object", "embed"}
    assert not [1 for _, found in page.elements if "src" in found]
    assert "url(" not in text and "@import" not in text
    assert {link[0] for link in page.links()} == {"#"}


def test_every_link_has_its_target_and_ids_are_unique(page: Page):
    ids = page.ids()
    drawn = {found["xlink:href"] for _, found in page.elements if "xlink:href" in found}
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in (*page.links(), *drawn)} <= set(ids)


def test_seventy_runs_over_sixty_modules_stay_below_five_megabytes(text: str):
    assert len(text.encode()) < 5_000_000


def test_streams_stand_apart_in_the_papers_order(page: Page):
    assert page.of("h2") == [
        *("Order 1 on small", "Order 2 on small", "Beside published numbers"),
        *("How learning rates were chosen", "Runs"),
    ]
    assert any("Compare only runs of the same stream" in said for said in page.of("p"))


def test_each_run_is_folded_below_a_target_that_a_seed_leads_to(page: Page):
    anchors = [found["id"] for found in page.having("article")]
    assert anchors == [f"run-{number}" for number in range(1, RUNS + 1)]
    assert {f"#{anchor}" for anchor in anchors} <= set(page.links())
    told = page.of("summary")
    assert "am_lora, seed 0" in told and told.count("ewc, seed 2") == len(ORDERS)


def test_a_line_is_a_method_over_its_seeds(page: Page):
    lines = [label for label in page.drawn() if label.startswith("Line of")]
    assert lines.count("Line of ewc") == len(ORDERS)
    assert len(lines) == 2 * len(METHODS) + 3
    assert any("A line is the mean over a method's seeds" in said for said in page.of("p"))


def test_curves_have_their_numbers(page: Page):
    # am_lora, order 1, dbpedia: 0.95, 0.95 - 1/60 and 0.95 - 2/60 in whole rows.
    at = page.texts.index(("th", "dbpedia"), page.texts.index(("th", "after agnews")))
    labels = [text for tag, text in page.texts[at : at + 40] if tag == "td"]
    assert labels[labels.index("am_lora") + 1 : labels.index("am_lora") + 3] == ["50.0", "93.3"]


def test_all_figures_that_the_runs_allow_are_drawn(page: Page):
    in_first = {
        "Figure 3": "Accuracy on dbpedia, per cent, after each later task",
        "Figure 4": "Mean attention scores on dbpedia, q_proj: LoRAs by layer",
        "Figure 5": "Figure 5, average, %, of NR, NR + L1, AR and AR + L1",
        "Right picks": "Rate of right picks by layer, per cent, q_proj",
    }
    contents = page.of("a")
    for short, label in in_first.items():
        assert short in contents
        assert label in page.drawn()
    assert contents.count("Figure 3") == 2 and contents.count("Figure 5") == 1


def test_attention_of_many_runs_is_in_tables_and_not_drawn_run_by_run(page: Page):
    assert not [label for label in page.drawn() if label.startswith("Mean attention on")]
    assert page.of("caption").count("Mean attention per task and LoRA") == 4 * 2 * 3 + 9
    assert any("drawn in a report of this run alone" in said for said in page.of("p"))


def test_pairs_are_told_with_the_smallest_p(page: Page):
    assert ("th", "smallest p") in page.texts
    assert any("With 3 seeds no p can lie below 0.25" in said for said in page.of("li"))


def test_runs_on_dev_rows_are_rows_of_the_choices_and_no_sections(page: Page):
    assert ("th", "am_lora, order 1") in page.texts
    assert ("td", "chosen") in page.texts
    assert ("td", "the loss is not a number") in page.texts
    assert ("th", "select-sin_lora, sin_lora, seed 0") in page.texts
    assert not [said for said in page.of("summary") if "select" in said]


def test_published_numbers_stand_beside_the_runs(page: Page):
    contents = page.of("a")
    assert "Table 1" in contents and "Table 2" in contents
    assert ("td", "O-LoRA's logs") in page.texts
    own = [found for found in page.having("tr") if found.get("class") == "own"]
    assert len(own) > len(METHODS)


def test_parts_without_their_data_do_not_appear(make_run: MakeRun):
    names = ("ewc", "l2p", "replay", "seq_ft", "sin_lora")
    page = Page(build_page([make_run(run_record(name), measured=None) for name in names]))
    assert page.of("h2") == ["Comparison", "Runs"]
    assert page.of("h3") == ["Each task over the stages"]
    assert page.of("a")[:3] == ["Comparison", "Each task over the stages", "Runs (5)"]
    assert len(page.having("article")) == 5


def test_tables_of_the_paper_need_its_orders(make_run: MakeRun):
    folder = make_run(run_record("am_lora"))
    assert "Beside published numbers" not in Page(build_page([folder])).of("h2")
    assert "Beside published numbers" in Page(build_page([folder], KNOWN)).of("h2")


def test_a_table_that_cannot_be_made_says_why_and_the_rest_stands(make_run: MakeRun):
    records = [run_record("am_lora"), run_record("am_lora")]
    records[1]["stream_digest"] = "77" * 32  # the same cell of the table, on other rows
    page = Page(build_page([make_run(record) for record in records], KNOWN))
    said = [line for line in page.of("li") if line.startswith("Table 1 is not shown")]
    assert len(said) == 1 and "two runs of one cell" in said[0]
    sections = [found["id"] for found in page.having("section")]
    assert sections == ["stream-1", "stream-2", "paper", "choices", "run-1", "run-2"]


def test_streams_that_look_alike_are_told_apart(make_run: MakeRun):
    one, two, other = record_of("x", AM_LORA), record_of("y", AM_LORA), record_of("z", AM_LORA)
    two["stream_digest"] = "c3" * 32
    other["stream_digest"] = "c4" * 32
    other["model"]["name"] = "large"
    found = Page(build_page([make_run(each) for each in (one, two, other)])).of("h2")[:3]
    tasks = "sms, topic, film, kind on"
    assert found == [
        f"{tasks} large, stream c4c4c4c4, weights f0f0f0f0",
        f"{tasks} small, stream a7a7a7a7, weights f0f0f0f0",
        f"{tasks} small, stream c3c3c3c3, weights f0f0f0f0",
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
    assert any(said.startswith("In the table alone: variant-00, ") for said in page.of("p"))


def test_names_in_a_store_are_shown_as_text(make_run: MakeRun):
    hostile = "<script>alert(1)</script>"
    folders: list[Path] = []
    for number in range(5):
        record = run_record("am_lora", settings={"rank": number})
        record["name"] = f"{hostile} {number}"
        folders.append(make_run(record))
    text = build_page(folders, Known())
    assert "<script" not in text
    assert Page(text).balanced
    assert ("summary", f"{hostile} 3") in Page(text).texts
