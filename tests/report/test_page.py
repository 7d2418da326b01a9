"""The page: what it shows, that it is one safe file, the same every time, and what it refuses."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from amlora.errors import InputError
from amlora.report.format import MINUS, MISSING
from amlora.report.page import build_page

from .conftest import AM_LORA, ENTERED, JOINT, TASKS, MakeRun, attention_of, record_of

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """The page's elements, each with its attributes and own text, and whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.balanced = True
        self.feed(text)
        self.balanced = self.balanced and not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        self.balanced = self.balanced and bool(self.open) and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def having(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Attributes of the elements with these attribute values."""
        return [
            found
            for name, found in self.elements
            if name == tag and all(found.get(key) == value for key, value in attributes.items())
        ]

    def titles(self) -> list[str]:
        return [found["title"] for _, found in self.elements if "title" in found]


@pytest.fixture(scope="module")
def both(two_runs: list[Path]) -> str:
    """The page of both runs."""
    return build_page(two_runs)


def test_the_same_folders_give_the_same_bytes(both: str, two_runs: list[Path]) -> None:
    assert build_page(two_runs) == both


def test_tags_are_balanced_and_ids_unique(both: str) -> None:
    page = Page(both)
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert page.balanced
    assert len(ids) == len(set(ids))


def test_every_reference_in_a_drawing_has_its_target(both: str) -> None:
    page = Page(both)
    ids = {found["id"] for _, found in page.elements if "id" in found}
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
    page = Page(both)
    drawn = [found["aria-label"] for found in page.having("svg", role="img")]
    assert [label for label in drawn if label.startswith("Accuracy on")] == [
        f"Accuracy on {task} after each stage" for task in TASKS
    ]
    assert [label for label in drawn if label.startswith("Line of")] == [
        "Line of am_lora",
        "Line of sin_lora",
    ]


def test_attention_is_drawn_for_each_task_and_projection(both: str) -> None:
    page = Page(both)
    drawn = [found["aria-label"] for found in page.having("svg", role="img")]
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
    assert ("text", "中文\ufffd") in page.texts


def test_drawings_use_the_pages_colours_alone(both: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", both, re.DOTALL)
    assert drawings
    assert all("var(--" in drawing for drawing in drawings)
    assert not [drawing for drawing in drawings if re.search(r"#[0-9a-f]{6}\b(?!\")", drawing)]


def test_runs_of_different_streams_are_marked(make_run: MakeRun) -> None:
    other = record_of("two", AM_LORA)
    other["stream_digest"] = "c3" * 32
    folders = [make_run(record_of("one", AM_LORA)), make_run(other)]
    assert "Compare only runs of the same stream" in build_page(folders)
    assert "Compare only runs of the same stream" not in build_page(folders[:1])


def test_seeds_of_one_method_are_summed_up(make_run: MakeRun) -> None:
    worse = [[value * 0.9 for value in row] for row in AM_LORA]
    folders = [make_run(record_of("one", AM_LORA)), make_run(record_of("one", worse, seed=1))]
    page = Page(build_page(folders))
    assert ("td", "72.7 ± 5.4") in page.texts
    assert ("a", "one, seed 1") in page.texts


def test_settings_are_folded_away_and_fall_back_to_the_record(make_run: MakeRun) -> None:
    written = make_run(record_of("one", AM_LORA), config="rank = 8  # why\n")
    assert ("pre", "rank = 8  # why") in Page(build_page([written])).texts
    (written / "config.toml").unlink()
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
    assert f"{tmp_path / 'record.json'}: no such file" in refusal(tmp_path)


def test_a_truncated_record_is_named(make_run: MakeRun) -> None:
    path = make_run(record_of("one", AM_LORA)) / "record.json"
    path.write_text(path.read_text()[:500])
    assert refusal(path.parent).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("format", 2, "format 2; this version reads format 1"),
        ("R", [[0.5, 0.5]], "row 0 of R has 2 entries, not 4"),
        ("R", [[0.5, 0.5, 0.5, 61.0]], "R has an entry outside 0..1"),
        ("R", [["high"]], "Expected `float | null`, got `str` - at `$.R[0][0]`"),
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
    assert "required field `R`" in refusal(make_run(record))


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
