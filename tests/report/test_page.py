"""The page: what it shows, that it is one safe file, the same every time, and what it refuses."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from amlora import files
from amlora.errors import InputError
from amlora.records.store import read_run
from amlora.report import page as made
from amlora.report.format import MINUS, MISSING
from amlora.report.page import Known
from paired_runs import change, write_run

from .conftest import AM_LORA, ENTERED, JOINT, TASKS, MakeRun, attention_of, general_of, record_of
from .parsed_page import Page

ATTENTION = attention_of()


def build_page(folders: Sequence[Path], known: Known | None = None) -> str:
    """Return the page of run folders."""
    return made.build_page([read_run(folder) for folder in folders], known)


@pytest.fixture(scope="module")
def both(two_runs: list[Path]) -> str:
    """The page of both runs."""
    return build_page(two_runs)


@pytest.fixture(scope="module")
def one(make_run: MakeRun) -> Page:
    """The page of a single run."""
    return Page(build_page([make_run(record_of("one", AM_LORA, entered=ENTERED))]))


def test_equal_runs_give_equal_bytes_in_whatever_order(both: str, two_runs: list[Path]):
    assert build_page(two_runs[::-1]) == both


def check_whole(text: str, page: Page) -> None:
    """Check that a page loads nothing, runs nothing, and that every link has its target."""
    assert page.balanced and "@import" not in text and "url(" not in text
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed"}
    assert not [1 for _, found in page.elements if "src" in found]
    policy = page.having("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy[0]["content"].startswith("default-src 'none'")
    ids, links = page.ids(), [found["href"] for _, found in page.elements if "href" in found]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links} <= set(ids) and {link[0] for link in links} == {"#"}


def test_it_is_one_file_without_scripts_that_loads_nothing(both: str):
    check_whole(both, Page(both))
    assert {"#stream-1", "#run-1", "#run-2"} <= set(Page(both).links())


def test_the_accuracy_matrix_is_a_table_with_headings_intervals_and_marks(one: Page):
    assert {("th", "after sms"), ("th", "before learning")} <= set(one.texts)
    assert "film, after kind: 70.0 % of 60 rows; 95 % interval 57.5 to 80.1 %" in one.titles()
    classes = [found.get("class", "").split() for found in one.having("td")]
    assert sum("own" in found for found in classes) == len(TASKS)
    unseen = (4 + 3 + 2 + 1) + (3 + 2 + 1)  # before tasks are learned, and as newcomers enter
    assert sum("unseen" in found for found in classes) == unseen


def test_a_newcomers_entry_is_shown_with_its_change(one: Page, both: str):
    assert ("th", "topic enters") in one.texts and ("th", "sms enters") not in one.texts
    (title,) = [title for title in one.titles() if title.startswith("sms, topic enters: 92.0 %")]
    assert title.endswith("95.0 % just before") and ("small", f"{MINUS}3.0") in one.texts
    assert both.count("Accuracy when a newcomer enters") == 2 * 1  # of one run, named twice


def test_metrics_stand_with_their_meaning_and_dashes_where_undefined(one: Page, make_run: MakeRun):
    assert {("dd", "76.5 %"), ("dd", f"{MINUS}4.7"), ("dt", "Backward transfer")} <= set(one.texts)
    page = Page(build_page([make_run(record_of("mtl", JOINT))]))
    assert ("th", "after all tasks") in page.texts
    assert page.texts.count(("dd", MISSING)) == 4


def test_general_ability_is_shown_where_it_was_measured(make_run: MakeRun, both: str):
    record = {**record_of("one", AM_LORA), "general": general_of(3.5, 6, 0.875)}
    page = Page(build_page([make_run(record)]))
    assert {("td", "3.250"), ("td", "3.500"), ("td", "6 of 24"), ("td", "87.5")} <= set(page.texts)
    assert ("td", "+0.250") in page.texts  # of the method's line
    assert "General ability" not in both


def test_what_was_shortened_and_what_did_nothing_is_told(make_run: MakeRun):
    none = {"shortened": 0, "characters": 0, "unknown": 0, "unwritable": 0}
    record = record_of("ewc", AM_LORA)
    record["settings"]["model"] = {"max_tokens": 96}
    record["tasks"][0]["lost"] = {"train": none | {"shortened": 3, "characters": 712}, "test": none}
    record["stages"][1] |= {"terms": {"task": 1.0, "ewc": 0.0}, "remarks": ["ewc was 0 %."]}
    said = (
        "sms: 3 of 160 train texts are longer than model.max_tokens = 96 allows and were"
        " shortened, by 712 characters at most."
    )
    texts = Page(build_page([make_run(record)])).texts
    assert ("li", said) in texts and ("li", "topic: ewc was 0 %.") in texts


def test_borders_that_were_found_are_held_against_the_true_ones(make_run: MakeRun):
    found = {
        "found": [150, 330, 470],
        "true": [160, 320, 480],
        "delays": [None, 10, 0],
        "false_alarms": 1,
        "first": [1, 2, 3, 4],
        "learned": [1, 2, 3, 4],
    }
    page = Page(build_page([make_run({**record_of("one", AM_LORA), "boundaries": found})]))
    assert ("td", "missed") in page.texts and ("th", "after stage 2") in page.texts
    assert any(said.startswith("2 of 3 borders found; false alarms: 1;") for said in page.of("p"))


def test_there_is_a_curve_for_each_task_and_a_legend_entry_for_each_line(both: str):
    drawn = Page(both).drawn()
    assert [label for label in drawn if label.startswith("Accuracy on")] == [
        f"Accuracy on {task}, per cent, after each stage" for task in TASKS
    ]
    assert drawn[:2] == ["Line of am_lora", "Line of sin_lora"]


def test_attention_is_shown_of_methods_that_have_it_alone(both: str, make_run: MakeRun):
    page = Page(both)
    assert page.of("h4").count("Attention") == 1
    assert [label for label in page.drawn() if label.startswith("Mean attention")] == [
        f"Mean attention scores on {task}, {projection}: LoRAs by layer"
        for task in TASKS
        for projection in ("q_proj", "v_proj")
    ]
    means = [[[0.2] * 5] * 12] * 4
    text = build_page([make_run(record_of("mean", AM_LORA), attention=ATTENTION | {"mean": means})])
    assert "Mean attention" not in text and "right picks" not in text


def test_sparsity_is_told_and_many_tasks_are_drawn_up_to_a_limit(make_run: MakeRun):
    names = [f"task{index}" for index in range(8)]
    attention = attention_of(names, layers=1)
    attention["top90"], attention["effective"] = [[0.25, 0.75]] * 8, [[2.5] * 2] * 8
    folder = make_run(record_of("one", [[0.5] * 8] * 9, tasks=names), attention=attention)
    page = Page(build_page([folder]))
    assert page.texts.count(("td", "2.50")) == 8 and page.texts.count(("td", "50.0")) >= 8
    assert sum(label.startswith("Mean attention") for label in page.drawn()) == 6 * 2
    assert any("2 more tasks are not drawn" in said for said in page.of("p"))


HOSTILE = '<script>alert("1")</script>'
NAMES = [HOSTILE, "a & b", "$x^2$ --> 'q'", "中文\x07"]


def test_hostile_names_are_shown_as_text(make_run: MakeRun):
    record: dict[str, Any] = record_of(HOSTILE, AM_LORA, tasks=NAMES, entered=ENTERED)
    record["model"]["name"] = HOSTILE
    record["settings"]["stream"]["data"] = HOSTILE
    text = build_page([make_run(record, attention=attention_of(NAMES, layers=1))])
    page = Page(text)
    assert "<script" not in text and page.balanced
    assert {("th", HOSTILE), ("figcaption", HOSTILE)} <= set(page.texts)
    assert {("text", "$x^2$ --> 'q'"), ("text", "中文\\u0007")} <= set(page.texts)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_seeds_of_one_method_are_summed_up_and_lead_to_their_runs(make_run: MakeRun):
    worse = [[value * 0.9 for value in row] for row in AM_LORA]
    folders = [make_run(record_of("one", AM_LORA)), make_run(record_of("one", worse, seed=1))]
    page = Page(build_page(folders))
    assert "72.7 ± 5.4 [24.1, 121.3]" in page.of("td")
    assert page.of("a").count("one, seed 1") == 1
    assert [text for text in page.of("a") if text in "01"] == ["0", "1"]
    with pytest.raises(InputError, match="the same run as"):
        build_page([folders[0], make_run(record_of("one", AM_LORA))])


def test_the_contents_list_all_parts(both: str, one: Page):
    page = Page(both)
    assert page.of("h2") == ["Comparison", "am_lora", "sin_lora"]
    listed = ["Comparison", "Methods", "In pairs", "Each task over the stages", "am_lora"]
    assert page.of("a")[:5] == listed
    assert one.of("h2") == ["Result", "one"]


def test_what_was_learned_where_and_how_is_told(both: str):
    page = Page(both)
    told = [
        *("small (decoder-only, 135 M parameters)", "prompt form full, prefix off"),
        "160 train rows and 60 scored rows of each task",
    ]
    assert set(told) <= set(page.of("dd"))
    assert ("dd", "0123456789abcdef with uncommitted changes") in page.texts
    assert ("dd", "amlora 0.1.0, torch 2.8.0") in page.texts
    assert any("2 x Card, Example 9000, threads: 2" in said for said in page.of("dd"))
    assert 'stream.prefix = "off"' in next(text for tag, text in page.texts if tag == "pre")


def test_lines_are_compared_with_am_lora_or_the_one_asked_for(both: str, make_run: MakeRun):
    assert "not told apart" in Page(both).of("td")
    folders = [make_run(record_of("one", AM_LORA)), make_run(record_of("two", AM_LORA))]
    assert "In pairs" not in build_page(folders)
    assert "Each line against two" in build_page(folders, Known(against="two"))
    with pytest.raises(InputError, match=r"no line 'tow'.*did you mean 'two'"):
        build_page(folders, Known(against="tow"))


def test_dev_rows_alone_are_a_run_like_others_and_no_run_is_refused(make_run: MakeRun):
    record = record_of("one", AM_LORA)
    record["settings"]["evaluate"] = {"split": "dev"}
    page = Page(build_page([make_run(record)]))
    assert page.of("h2") == ["Result", "one"] and ("li", "scored on dev rows") in page.texts
    with pytest.raises(InputError, match="at least one run"):
        build_page([])


def test_each_evaluation_is_named_by_its_moment(one: Page):
    entered = [f"{task} enters" for task in TASKS[1:]]
    assert one.of("th")[-8:] == ["before learning", *(f"after {task}" for task in TASKS), *entered]


BELIEFS = {
    "a": [({"a": 0.998, "b": 0.002}, 0.25), ({"a": 0.4, "b": 0.6}, 0.75)],
    "b": [({"b": 1.0}, 0.5), ({"b": 0.9, "a": 0.1}, 1.5)],
}


def staged(folder: Path) -> Path:
    """Give the last evaluation's rows of a run what they were taken for."""
    lines: list[dict[str, Any]] = []
    for text in (folder / "rows.jsonl").read_text().splitlines():
        line = json.loads(text)
        if line["phase"] == "learned":
            posterior, distance = BELIEFS[line["task"]][int(line["row"].partition(":")[2])]
            likeliest = "none" if distance > 1 else max(posterior, key=lambda name: posterior[name])
            told = {"posterior": posterior, "distance": distance}
            line = {**line, "stages": {likeliest: 1.0}, **told}
        lines.append(line)
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shares = [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5]]
    routing = {"stages": ["none", *BELIEFS], "tasks": list(BELIEFS), "shares": shares}
    change(folder, routing=routing, rows_digest=files.sha256_file(folder / "rows.jsonl"))
    return folder


def rows_below(page: Page, heading: str) -> list[list[str]]:
    """Return the rows of the table that has this heading, as texts."""
    rows: list[list[str]] = []
    for tag, text in page.texts[page.texts.index(("th", heading)) :]:
        if tag == "th":
            rows.append([text])
        elif tag == "td":
            rows[-1].append(text)
        elif len(rows[-1]) > 1:
            break
    return [row for row in rows if len(row) > 1]


def test_where_prompts_were_sent_and_the_least_sure_rows_are_shown_of_routed_methods(
    tmp_path: Path, both: str
):
    folder = staged(write_run(tmp_path, "anchored_lora", {"a": "10", "b": "11"}))
    page = Page(build_page([folder]))
    assert ("h4", "Where prompts were sent") in page.texts
    assert rows_below(page, "own stage's posterior, mean") == [
        ["a", "2", "50.0", "0.0", "0.699", "0.400", "0.50", "0.75"],
        ["b", "2", "50.0", "50.0", "0.950", "0.900", "1.00", "1.50"],
    ]
    assert rows_below(page, "posterior") == [
        ["b, test:1", "b 0.900, a 0.100", "none 1.000", "right", "1.50"],
        ["a, test:1", "b 0.600, a 0.400", "b 1.000", "wrong", "0.75"],
        ["a, test:0", "a 0.998, b 0.002", "a 1.000", "right", "0.25"],
        ["b, test:0", "b 1.000", "b 1.000", "right", "0.50"],
    ]
    assert "Where prompts were sent" not in both and "posterior" not in both


def test_answers_that_flipped_are_counted_and_those_that_were_lost_listed(tmp_path: Path):
    folder = write_run(tmp_path, "sin_lora", {"a": "1001", "b": "11"}, first="1110")
    page = Page(build_page([folder]))
    assert rows_below(page, "right, then wrong") == [
        ["a", "4", "1", "2", "1", "0"],
        ["b", "2", "2", "0", "0", "0"],
    ]
    lost = [row[:2] for row in rows_below(page, "answer at the end")]
    assert lost == [["a, test:1", "yes"], ["a, test:2", "yes"]]
