"""The page: what it shows, that it is one safe file, the same every time, and what it refuses."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from amlora.errors import InputError
from amlora.report.format import MINUS, MISSING
from amlora.report.known import Known
from amlora.report.page import build_page

from .conftest import AM_LORA, ENTERED, JOINT, TASKS, MakeRun, attention_of, general_of, record_of
from .parsed_page import Page


@pytest.fixture(scope="module")
def both(two_runs: list[Path]) -> str:
    """The page of both runs."""
    return build_page(two_runs)


def test_the_same_folders_give_the_same_bytes(both: str, two_runs: list[Path]) -> None:
    assert build_page(two_runs) == both


def test_the_order_of_the_folders_does_not_matter(both: str, two_runs: list[Path]) -> None:
    assert build_page(two_runs[::-1]) == both


def test_tags_are_balanced_and_ids_unique(both: str) -> None:
    page = Page(both)
    assert page.balanced
    assert len(page.ids()) == len(set(page.ids()))


def test_every_link_has_its_target(both: str) -> None:
    page = Page(both)
    assert {link[1:] for link in page.links()} <= set(page.ids())
    assert {"#stream-1", "#run-1", "#run-2"} <= set(page.links())


def test_every_reference_in_a_drawing_has_its_target(both: str) -> None:
    page = Page(both)
    ids = set(page.ids())
    links = {found["xlink:href"][1:] for _, found in page.elements if "xlink:href" in found}
    assert links
    assert links <= ids


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_a_script(both: str) -> None:
    page = Page(both)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed"}
    assert not [1 for _, found in page.elements if "src" in found]
    assert "@import" not in both
    assert "url(" not in both
    assert {found["href"][0] for _, found in page.elements if "href" in found} == {"#"}
    policy = page.having("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy[0]["content"].startswith("default-src 'none'")


def test_the_accuracy_matrix_is_a_table_with_headings_and_intervals(both: str) -> None:
    page = Page(both)
    assert ("th", "after sms") in page.texts
    assert ("th", "before learning") in page.texts
    assert ("caption", "Accuracy matrix") in page.texts
    assert "film, after kind: 70.0 % of 60 rows; 95 % interval 57.5 to 80.1 %" in page.titles()


def test_learned_and_unlearned_cells_are_told_apart(make_run: MakeRun) -> None:
    page = Page(build_page([make_run(record_of("one", AM_LORA))]))
    classes = [
        found["class"].split() for found in page.having("td") if "heat" in found.get("class", "")
    ]
    assert sum("learned" in found for found in classes) == len(TASKS)
    assert sum("unseen" in found for found in classes) == 4 + 3 + 2 + 1


def test_a_newcomers_entry_is_shown_with_its_change(make_run: MakeRun) -> None:
    folder = make_run(record_of("one", AM_LORA, entered=ENTERED))
    page = Page(build_page([folder]))
    assert ("th", "topic enters") in page.texts
    found = [title for title in page.titles() if title.startswith("sms, topic enters: 92.0 %")]
    assert found[0].endswith("95.0 % just before")
    assert ("small", f"{MINUS}3.0") in page.texts
    assert ("th", "sms enters") not in page.texts


def test_a_method_without_entries_has_no_such_table(make_run: MakeRun) -> None:
    assert "newcomer" not in build_page([make_run(record_of("one", AM_LORA))])


def test_general_ability_is_shown_before_and_at_the_end_where_it_was_measured(
    make_run: MakeRun,
) -> None:
    record = {**record_of("one", AM_LORA), "general": general_of(3.5, 6, 0.875)}
    text = build_page([make_run(record)])
    page = Page(text)
    assert {("th", "before learning"), ("th", "at the end")} <= set(page.texts)
    assert {("td", "3.250"), ("td", "3.500"), ("td", "6 of 24"), ("td", "87.5")} <= set(page.texts)
    assert ("td", "+0.250") in page.texts  # of the method's line
    assert {"#run-1-general", "#stream-1-general"} <= set(page.links())
    assert {link[1:] for link in page.links()} <= set(page.ids())
    assert "General ability" not in build_page([make_run(record_of("one", AM_LORA))])


@pytest.mark.parametrize(
    ("general", "said"),
    [
        (general_of(3.5, 6)[:1], "not one moment before learning and one after it"),
        (general_of(3.5, 25), "more right answers than questions"),
    ],
)
def test_general_ability_that_cannot_be_is_refused(
    make_run: MakeRun, general: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        build_page([make_run({**record_of("one", AM_LORA), "general": general})])


def test_texts_that_were_shortened_are_told_below_the_tasks(make_run: MakeRun) -> None:
    none = {"shortened": 0, "characters": 0, "unknown": 0, "unwritable": 0}
    record = record_of("one", AM_LORA)
    record["settings"]["model"] = {"max_tokens": 96}
    record["tasks"][0]["lost"] = {"train": none | {"shortened": 3, "characters": 712}, "test": none}
    line = (
        "sms: 3 of 160 train texts are longer than model.max_tokens = 96 allows and were"
        " shortened, by 712 characters at most."
    )
    assert ("li", line) in Page(build_page([make_run(record)])).texts


def test_parts_that_did_next_to_nothing_are_told_below_the_stages(make_run: MakeRun) -> None:
    record = record_of("ewc", AM_LORA)
    record["stages"][1] |= {"terms": {"task": 1.0, "ewc": 0.0}, "remarks": ["ewc was 0 %."]}
    page = Page(build_page([make_run(record)]))
    assert ("li", "topic: ewc was 0 %.") in page.texts


def test_metrics_stand_with_their_meaning(make_run: MakeRun) -> None:
    page = Page(build_page([make_run(record_of("one", AM_LORA))]))
    assert ("dd", "76.5 %") in page.texts
    assert ("dd", f"{MINUS}4.7") in page.texts
    assert ("dt", "Backward transfer") in page.texts


def test_a_joint_run_shows_dashes_for_what_needs_an_order(make_run: MakeRun) -> None:
    page = Page(build_page([make_run(record_of("mtl", JOINT))]))
    assert ("th", "after all tasks") in page.texts
    assert page.texts.count(("dd", MISSING)) == 4


def test_there_is_a_curve_panel_per_task_and_a_legend_entry_per_run(both: str) -> None:
    drawn = Page(both).drawn()
    assert [label for label in drawn if label.startswith("Accuracy on")] == [
        f"Accuracy on {task} after each stage" for task in TASKS
    ]
    assert [label for label in drawn if label.startswith("Line of")] == [
        "Line of am_lora",
        "Line of sin_lora",
    ]


def test_attention_is_drawn_for_each_task_and_projection(both: str) -> None:
    drawn = Page(both).drawn()
    assert [label for label in drawn if label.startswith("Mean attention")] == [
        f"Mean attention on {task}, {projection}: LoRAs by layer"
        for task in TASKS
        for projection in ("q_proj", "v_proj")
    ]


def test_sparsity_is_told_per_task(make_run: MakeRun) -> None:
    attention = attention_of()
    attention["top90"] = [[0.25, 0.75] * 6] * 4
    attention["effective"] = [[2.5] * 12] * 4
    page = Page(build_page([make_run(record_of("one", AM_LORA), attention=attention)]))
    assert page.texts.count(("td", "2.50")) == 4
    assert page.texts.count(("td", "50.0")) >= 4


def test_a_run_without_attention_has_no_attention_part(make_run: MakeRun) -> None:
    page = Page(build_page([make_run(record_of("one", AM_LORA))]))
    assert ("h3", "Accuracy") in page.texts
    assert ("h3", "Attention") not in page.texts


def test_many_tasks_are_drawn_up_to_a_limit_and_the_rest_is_counted(make_run: MakeRun) -> None:
    names = [f"task{index}" for index in range(9)]
    R = [[0.5] * 9] * 10
    folder = make_run(record_of("one", R, tasks=names), attention=attention_of(names, layers=2))
    text = build_page([folder])
    assert text.count("by layer and projection") == 6
    assert "3 more tasks are in attention.json" in text


HOSTILE = '<script>alert("1")</script>'
NAMES = [HOSTILE, "a & b", "$x^2$ --> 'q'", "中文\x07"]


def test_hostile_names_are_shown_as_text(make_run: MakeRun) -> None:
    record: dict[str, Any] = record_of(HOSTILE, AM_LORA, tasks=NAMES, entered=ENTERED)
    record["model"]["name"] = HOSTILE
    folder = make_run(record, attention=attention_of(NAMES), config=f"name = '{HOSTILE}'\n")
    text = build_page([folder])
    page = Page(text)
    assert "<script" not in text
    assert page.balanced
    assert ("th", HOSTILE) in page.texts
    assert ("figcaption", HOSTILE) in page.texts
    assert ("text", "$x^2$ --> 'q'") in page.texts
    assert ("text", "中文\\u0007") in page.texts
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_drawings_use_the_pages_colours_alone(both: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", both, re.DOTALL)
    assert drawings
    assert all("var(--" in drawing for drawing in drawings)
    assert not [drawing for drawing in drawings if re.search(r"#[0-9a-f]{6}\b(?!\")", drawing)]


def test_runs_that_were_not_scored_before_learning_have_no_line_for_that(
    make_run: MakeRun,
) -> None:
    part = [[None] * len(TASKS), *AM_LORA[1:]]
    page = Page(build_page([make_run(record_of(name, part)) for name in ("one", "two")]))
    assert page.balanced and "zero-shot" not in page.of("th")
    linked = {link for link in page.links() if page.links().count(link) > 1}
    assert linked == {"#run-1", "#run-2"}  # in the contents and in the table


def test_runs_of_different_streams_are_marked(make_run: MakeRun) -> None:
    other = record_of("two", AM_LORA)
    other["stream_digest"] = "c3" * 32
    folders = [make_run(record_of("one", AM_LORA)), make_run(other)]
    assert "Compare only runs of the same stream" in build_page(folders)
    assert "Compare only runs of the same stream" not in build_page(folders[:1])


def test_seeds_of_one_method_are_summed_up_and_lead_to_their_runs(make_run: MakeRun) -> None:
    worse = [[value * 0.9 for value in row] for row in AM_LORA]
    folders = [make_run(record_of("one", AM_LORA)), make_run(record_of("one", worse, seed=1))]
    page = Page(build_page(folders))
    assert "72.7 ± 5.4 [24.1, 121.3]" in page.of("td")
    assert page.of("a").count("one, seed 1") == 1
    assert [text for text in page.of("a") if text in "01"] == ["0", "1"]
    assert page.links()[-2:] == ["#run-1", "#run-2"]


def test_few_runs_stand_in_full_and_unfolded(both: str) -> None:
    page = Page(both)
    assert not page.having("article")
    assert [found["id"] for found in page.having("section")] == ["stream-1", "run-1", "run-2"]
    assert page.of("h2") == ["Comparison", "am_lora", "sin_lora"]


def test_the_contents_of_a_single_run_list_its_parts(make_run: MakeRun) -> None:
    page = Page(build_page([make_run(record_of("one", AM_LORA, entered=ENTERED))]))
    assert page.of("h2") == ["Result", "one"]
    assert page.of("a")[:6] == [
        *("Result", "Each task over the stages", "one", "Accuracy", "When a newcomer enters"),
        "Behind the figures",
    ]
    assert {link[1:] for link in page.links()} <= set(page.ids())


def test_what_was_learned_is_told(both: str) -> None:
    page = Page(both)
    assert page.texts[page.texts.index(("dt", "protocol")) + 1] == (
        "dd",
        "prompt form full, prefix off",
    )
    assert ("dd", "160 train rows and 60 scored rows of each task") in page.texts
    assert ("dd", "small (decoder-only, 135 M parameters)") in page.texts


def test_lines_are_compared_with_am_lora(both: str, make_run: MakeRun) -> None:
    page = Page(both)
    assert ("h3", "In pairs") in page.texts
    assert ("td", "not told apart") in page.texts
    folders = [make_run(record_of("one", AM_LORA)), make_run(record_of("two", AM_LORA))]
    assert ("h3", "In pairs") not in Page(build_page(folders)).texts
    assert ("h3", "In pairs") in Page(build_page(folders, Known(against="two"))).texts


def test_a_line_to_compare_with_that_is_not_there_is_refused(two_runs: list[Path]) -> None:
    with pytest.raises(InputError, match=r"no line 'sinlora'.*did you mean 'sin_lora'"):
        build_page(two_runs, Known(against="sinlora"))


def test_what_was_scored_on_dev_rows_alone_is_a_run_like_others(make_run: MakeRun) -> None:
    record = record_of("one", AM_LORA)
    record["settings"]["evaluate"] = {"split": "dev"}
    page = Page(build_page([make_run(record)]))
    assert page.of("h2") == ["Result", "one"]
    assert ("li", "scored on dev rows") in page.texts


def test_the_same_run_in_two_folders_is_refused(make_run: MakeRun) -> None:
    folders = [make_run(record_of("one", AM_LORA)) for _ in range(2)]
    with pytest.raises(InputError, match="the same run as"):
        build_page(folders)


def test_settings_are_folded_away(make_run: MakeRun) -> None:
    written = make_run(record_of("one", AM_LORA))
    assert '"prefix": "off"' in dict(Page(build_page([written])).texts)["pre"]


def test_each_evaluation_is_named_by_its_moment(make_run: MakeRun) -> None:
    page = Page(build_page([make_run(record_of("one", AM_LORA, entered=ENTERED))]))
    named = [text for tag, text in page.texts if tag == "th"]
    assert named[-8:] == [
        "before learning",
        "after sms",
        "after topic",
        "after film",
        "after kind",
        "topic enters",
        "film enters",
        "kind enters",
    ]


def test_the_machine_is_told_in_words(make_run: MakeRun) -> None:
    page = Page(build_page([make_run(record_of("one", AM_LORA))]))
    told = "2 x Card, Example 9000, 2 threads, 8.0 GiB of memory, Linux x86_64"
    assert ("dd", told) in page.texts


def test_a_run_that_is_still_going_can_be_looked_at(make_run: MakeRun) -> None:
    record = record_of("one", AM_LORA[:3])
    record["rows_digest"] = None
    page = Page(build_page([make_run(record, measured=None)]))
    assert ("th", "after topic") in page.texts
    assert ("th", "after film") not in page.texts


def refusal(folder: Path) -> str:
    """The one line with which a folder is refused."""
    with pytest.raises(InputError) as caught:
        build_page([folder])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_without_a_record_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}: not a run folder" in refusal(tmp_path)


def test_a_truncated_record_is_named(make_run: MakeRun) -> None:
    path = make_run(record_of("one", AM_LORA)) / "record.json"
    path.write_text(path.read_text()[:500])
    assert refusal(path.parent).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("format", 2, "format 2; this version reads format 1"),
        ("R", [[0.5, 0.5]], "row 0 of R has 2 entries, not 4"),
        ("R", [[0.5, 0.5, 0.5, 61.0]], "R[0][3] must be at least 0 and at most 1"),
        ("R", [["high"]], "R[0][0]: expected a number"),
        ("R", [], "no task or no row"),
        ("R", [[0.5] * 4] * 6, "more stages than its 4 tasks"),
        ("entered", [[0.5]], "row 0 of entered has 1 entries, not 4"),
        ("entered", [[0.5] * 4], "1 rows of entered do not fit the evaluations"),
    ],
)
def test_a_record_that_does_not_fit_is_named(
    make_run: MakeRun, key: str, value: object, says: str
) -> None:
    folder = make_run({**record_of("one", AM_LORA), key: value})
    found = refusal(folder)
    assert found.startswith(f"{folder / 'record.json'}: ")
    assert says in found


def test_a_record_without_a_field_says_which(make_run: MakeRun) -> None:
    record = record_of("one", AM_LORA)
    del record["R"]
    assert "R is missing" in refusal(make_run(record))


@pytest.mark.parametrize("key", ["mean", "top90", "effective"])
def test_attention_that_does_not_fit_is_named(make_run: MakeRun, key: str) -> None:
    attention = attention_of()
    attention[key] = attention[key][:-1]
    folder = make_run(record_of("one", AM_LORA), attention=attention)
    assert f"{folder / 'attention.json'}: its tables are not 4 tasks by 12" in refusal(folder)


def test_a_truncated_measurement_is_named(make_run: MakeRun) -> None:
    folder = make_run(record_of("one", AM_LORA))
    (folder / "measured.json").write_text(json.dumps({"seconds": {}})[:-1])
    assert refusal(folder).startswith(f"{folder / 'measured.json'}: ")


def test_no_folder_and_a_folder_given_twice_are_refused(two_runs: list[Path]) -> None:
    with pytest.raises(InputError, match="at least one run folder"):
        build_page([])
    with pytest.raises(InputError, match="given twice"):
        build_page([two_runs[0], two_runs[0]])


def test_the_stages_that_answered_are_shown_where_there_are_any(make_run: MakeRun) -> None:
    shares = [[0.0, 1.0, 0.0, 0.0, 0.0], [0.05, 0.0, 0.95, 0.0, 0.0]]
    routing = {"stages": ["none", *TASKS], "tasks": list(TASKS[:2]), "shares": shares}
    record = record_of("anchored_lora", AM_LORA)
    text = build_page([make_run({**record, "routing": routing})])
    page = Page(text)
    assert page.balanced
    assert {"run-1-routing"} <= set(page.ids()) & {link[1:] for link in page.links()}
    assert "95.0" in page.of("td")
    assert "run-1-routing" not in Page(build_page([make_run(record)])).ids()


def test_routing_that_does_not_fit_is_refused(make_run: MakeRun) -> None:
    routing = {"stages": ["none", "sms"], "tasks": ["sms"], "shares": [[1.0]]}
    folder = make_run({**record_of("anchored_lora", AM_LORA), "routing": routing})
    with pytest.raises(InputError, match="row 0 of routing has 1 entries, not 2"):
        build_page([folder])
