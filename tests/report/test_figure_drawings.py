"""What is drawn of figures 3, 4 and 5, of the sweep and the picks: every number also in a table."""

import re
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pytest

from amlora.records.run import StoredRun as Run
from amlora.report import paper_figures
from amlora.report.format import MISSING
from amlora.report.paper_figures import Name, studies
from amlora.report.studies.layout import drawing
from amlora.report.studies.study import (
    LIGHT,
    SAMPLE,
    Study,
    as_sheet,
    key_svg,
    panel_svg,
    plain_values,
)
from amlora.report.svg import STAND_INS
from figure_records import MODULES, a_run, attention, four_schemes, lower

NAMES: tuple[Name, ...] = get_args(Name)
SVG = "{http://www.w3.org/2000/svg}"
REPORT = Path(paper_figures.__file__).parent


def all_runs(store: Path) -> list[Run]:
    """Return runs that every figure has something of."""
    return [
        *four_schemes(store),
        a_run(store, name="l1", sparsity=1e-2, scores=attention(effective=3.5, top90=0.125)),
        a_run(store, "inc_lora", lower(0.2)),
        a_run(store, "inc_lora", lower(0.3), seed=1),
        a_run(store, "mean_lora", scores=attention(own=0.25, picked=1 / 3)),
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[Name, list[Study]]:
    """All figures of one store."""
    runs = all_runs(tmp_path_factory.mktemp("runs"))
    return {name: studies(name, runs) for name in NAMES}


def table(study: Study, *words: str) -> list[str]:
    """Return the numbers of the only row that begins with these words."""
    (row,) = [row for row in study.rows if row[: len(words)] == words]
    return list(row[len(words) :])


def only(found: list[Study]) -> Study:
    (study,) = found
    return study


# Tables


def test_figure_3_has_a_row_for_each_task_and_line(made):
    study = only(made["3"])
    assert study.headings == ("task", "kind", "line", "after 1", "after 2", "after 3")
    assert table(study, "a", "with", "am_lora") == ["90.0", "80.0", "60.0"]
    assert table(study, "b", "without", "inc_lora") == ["", "45.0 ± 7.1", "25.0 ± 7.1"]
    assert "Not all lines have the same seeds: am_lora [0]; inc_lora [0, 1]." in study.notes


def test_figure_4_has_a_row_for_each_module(made):
    study = only(made["4"])
    assert len(study.rows) == 3 * len(MODULES)
    assert study.headings[3:] == ("none", "a", "b", "c")
    assert table(study, "b", "v_proj", "1") == ["20.0", "20.0", "40.0", "20.0"]
    assert [panel.title for panel in study.panels[:3]] == ["a, q_proj", "a, v_proj", "b, q_proj"]


def test_figure_5_has_a_row_for_each_scheme(made):
    study = only(made["5"])
    assert [row[:2] for row in study.rows] == [
        *(("NR", "new"), ("NR + L1", "new-l1"), ("AR", "all"), ("AR + L1", "am_lora")),
    ]
    average, forgetting, *_ = table(study, "AR + L1", "am_lora")
    assert re.fullmatch(r"70\.0 \(\d\d\.\d, \d\d\.\d\)", average) and forgetting == "25.0"
    assert "Forgetting of a single run has no interval." in study.notes


def test_a_missing_scheme_is_named_and_its_row_empty(tmp_path: Path):
    study = only(studies("5", four_schemes(tmp_path)[1:]))
    assert study.rows[0] == ("NR", "no run", "", "", "", "", "")
    assert "No run: NR." in study.notes
    assert all("no value" in panel_svg(panel, "s") for panel in study.panels)


def test_the_sweep_has_a_row_for_each_weight(made):
    study = only(made["sparsity"])
    assert [row[:2] for row in study.rows] == [("0", "all"), ("1e-05", "am_lora"), ("0.01", "l1")]
    assert table(study, "0", "all")[2:4] == [MISSING, MISSING]
    assert table(study, "0.01", "l1")[2:4] == ["12.5", "3.50"]
    assert any("at most N + 1 = 4" in note for note in study.notes)


def test_the_picks_are_given_by_layer_and_as_means_beside_chance(made):
    study = only(made["picks"])
    assert table(study, "am_lora", "all", "all") == ["50.0"]
    assert table(study, "am_lora", "v_proj", "1") == ["50.0"]
    assert table(study, "mean_lora", "all", "all") == ["33.3"]
    assert any("Chance: 33.3 %." in note for note in study.notes)
    assert study.notes[-1].endswith("at chance by definition: mean_lora.")
    assert [key.label for key in study.legend] == ["am_lora", "l1", "chance, 33.3 %"]


@pytest.mark.parametrize("name", NAMES)
def test_values_have_full_precision_and_name_their_model_and_tasks(made, name):
    values = plain_values(made[name])
    assert {(row["model"], row["tasks"]) for row in values} == {("small", "a b c")}
    assert len({tuple(row) for row in values}) == 1
    sheet = as_sheet(made[name][0])
    assert {len(row) for row in (sheet.columns, *sheet.rows)} == {len(sheet.columns)}
    numbers = [value for row in values for value in row.values() if isinstance(value, float)]
    assert any(0 < value < 1 for value in numbers)


def test_a_value_is_the_one_of_the_table(made):
    (value,) = [
        row
        for row in plain_values(made["3"])
        if (row["task"], row["line"], row["after"]) == ("b", "inc_lora", 3)
    ]
    assert value["accuracy"] == pytest.approx(0.25) and value["seeds"] == "0 1"
    (value,) = [row for row in plain_values(made["5"]) if row["scheme"] == "AR"]
    assert value["average"] == pytest.approx(0.65) and value["average_interval"] == "rows"


# Drawings


def points(svg: str, colour: str) -> list[list[tuple[float, float]]]:
    """Return the corners of the lines that are drawn in a colour."""
    found = re.findall(rf'd="(M[^"]*)" style="fill: none;[^"]*stroke: {colour}', svg)
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", d)] for d in found]


def test_a_line_of_figure_3_has_a_corner_for_each_stage(made):
    panels = only(made["3"]).panels
    assert [panel.title for panel in panels] == ["a", "b"]
    for panel, stages in zip(panels, (3, 2), strict=True):
        svg = panel_svg(panel, "s")
        lines = points(svg, r"var\(--series-0\)")
        assert [len(line) for line in lines] == [stages]
        # Two bars and more: the deviation of the other line's two seeds.
        assert len(points(svg, r"var\(--series-1\)")) == 1 + stages


def test_heights_are_in_proportion_to_the_scores(made):
    svg = panel_svg(only(made["3"]).panels[0], "s")
    ((_, first), (_, second), (_, third)) = points(svg, r"var\(--series-0\)")[0]
    assert (third - second) / (second - first) == pytest.approx(0.2 / 0.1, rel=1e-3)


def test_a_deviation_that_leaves_the_axis_is_cut(tmp_path: Path):
    one = [[0.0] * 3, [1.0] * 3, [1.0] * 3, [1.0] * 3]
    two = [[0.0] * 3, *[[0.2] * 3] * 3]
    runs = [a_run(tmp_path, R=R, seed=seed) for seed, R in enumerate((one, two))]
    panel = only(studies("3", [*runs, a_run(tmp_path, "inc_lora", one)])).panels[0]
    lines = points(panel_svg(panel, "s"), r"var\(--series-0\)")
    tops = {min(y for _, y in line) for line in lines[1:]}
    # As high as the score of 1 that stands beside it.
    assert tops == {points(panel_svg(panel, "s"), r"var\(--series-1\)")[0][0][1]}


def test_shades_are_shares_of_the_largest_score(made):
    svg = panel_svg(only(made["4"]).panels[0], "s")
    shades = re.findall(r"fill: var\(--heat\)(?:; fill-opacity: ([\d.]+))?", svg)
    assert sorted(shades) == ["", "", *["0.5"] * 6]


def test_figure_4_names_the_tasks_own_lora_in_bold(made):
    svg = panel_svg(only(made["4"]).panels[2], "s")
    assert re.findall(r"font-weight: 700[^>]*>([^<]*)<", svg) == ["b"]


def test_intervals_over_rows_and_over_seeds_are_drawn_differently(made, tmp_path: Path):
    runs = [*four_schemes(tmp_path), a_run(tmp_path, R=lower(0.1), seed=1)]
    both = only(studies("5", runs))
    assert [key.label for key in both.legend] == [
        "95 % interval over seeds",
        "95 % interval over one run's test rows",
    ]
    dashed = [panel_svg(panel, "s").count("stroke-dasharray") for panel in both.panels]
    assert dashed == [3, 0, 3]
    assert [key.label for key in only(made["5"]).legend] == [both.legend[1].label]


def test_the_sweep_draws_the_level_that_equal_scores_give(made):
    study = only(made["sparsity"])
    levels = ["stroke-dasharray: 1.6,3.2" in panel_svg(panel, "s") for panel in study.panels]
    assert levels == [False, False, False, True]
    assert study.legend[-1].label == "N + 1 = 4"


def test_picks_leave_out_lines_whose_scores_are_fixed(made):
    svg = panel_svg(only(made["picks"]).panels[0], "s")
    assert [len(line) for line in points(svg, r"var\(--series-0\)")] == [2]
    assert "--series-2" not in svg


@pytest.mark.parametrize("name", NAMES)
def test_panels_and_signs_have_the_pages_colours_alone_and_words_for_the_blind(made, name):
    for study in made[name]:
        for place, panel in enumerate(study.panels):
            svg = panel_svg(panel, f"{name}-{place}")
            root = ElementTree.fromstring(svg)
            assert root.get("aria-label") == panel.label and len(panel.label) > 10
            assert not re.search(r"#[0-9a-f]{6}\b", svg.replace("#000000", ""))
            assert "<style" not in svg and root.get("width") is None
        for place, key in enumerate(study.legend):
            svg = key_svg(key, f"{name}-key-{place}")
            assert "var(--" in svg and not re.search(r"#0[12]\w{4}\b", svg)


@pytest.mark.parametrize(
    ("name", "kind"), [*((name, "svg") for name in NAMES), ("4", "png"), ("sparsity", "pdf")]
)
def test_the_same_studies_are_the_same_bytes(made, name, kind):
    first = drawing(made[name], kind)
    assert first == drawing(made[name], kind)
    start = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[kind]
    assert first.startswith(start)


def sheet(found: list[Study]) -> ElementTree.Element:
    return ElementTree.fromstring(drawing(found, "svg"))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_has_its_own_size_background_and_colours(made, name):
    text = drawing(made[name], "svg").decode()
    root = ElementTree.fromstring(text)
    assert float(root.attrib["width"]) > 400 and float(root.attrib["height"]) > 100
    assert root[0].tag == SVG + "rect" and root[0].get("fill") == LIGHT.paper
    assert "var(" not in text
    assert not [colour for colour in STAND_INS if f"{colour};" in text or f'{colour}"' in text]
    assert made[name][0].title in str(root.get("aria-label"))


def box(text: ElementTree.Element) -> tuple[float, float, float]:
    """Return about where a line of text begins and ends, and its baseline."""
    style = text.get("style", "")
    found = re.search(r"font-size: ([\d.]+)px", style)
    assert found is not None
    wide = 0.56 * float(found[1]) * len(text.text or "")
    anchor = re.search(r"text-anchor: (\w+)", style)
    share = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor[1] if anchor else "start"]
    x = float(text.attrib["x"]) - share * wide
    return x, x + wide, float(text.attrib["y"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("tasks", [3, 15])
def test_no_text_is_cut_off_at_the_edge(tmp_path: Path, name, tasks):
    names = [f"task{n}" for n in range(tasks)]
    modules = [f"h.{layer}.attn.{kind}_proj" for layer in range(30) for kind in "qv"]
    R = [[0.0] * tasks, *[[0.5] * tasks] * tasks]
    options: dict[str, Any] = {"tasks": names, "scores": attention(names, modules=modules)}
    runs = [
        a_run(tmp_path, "am_lora", R, **options),
        a_run(tmp_path, "am_lora", R, name="new", selectors="new", **options),
        a_run(tmp_path, "am_lora", R, name="zero", sparsity=0.0, **options),
        a_run(tmp_path, "inc_lora", R, **options),
    ]
    root = sheet(studies(name, runs))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    texts = list(root.iter(SVG + "text"))
    assert len(texts) > 10
    for text in texts:
        left, right, y = box(text)
        assert left > 0 and right < width and 0 < y < height, text.text


def test_several_streams_stand_below_one_another_in_one_file(tmp_path: Path):
    runs = [a_run(tmp_path, way, stream=at) for way in ("am_lora", "inc_lora") for at in ("7", "8")]
    found = studies("3", runs)
    titles = [
        text for text in sheet(found).iter(SVG + "text") if (text.text or "").startswith("Figure 3")
    ]
    assert len(found) == 2
    assert float(titles[1].attrib["y"]) - float(titles[0].attrib["y"]) > 100


def test_notes_on_brackets_stand_with_the_table_alone(made):
    study = only(made["5"])
    assert study.table_only and set(study.table_only) < set(study.notes)
    shown = " ".join(text.text or "" for text in sheet([study]).iter(SVG + "text"))
    assert "Forgetting of a single run has no interval." in shown and "(a, b)" not in shown
    assert set(study.table_only) < set(as_sheet(study).remarks)


def test_names_that_are_no_xml_or_formulas_are_drawn_as_they_are(tmp_path: Path):
    names = ["<b>&amp;", "$x^$", "a\x01_{"]
    options: dict[str, Any] = {"tasks": names, "scores": attention(names)}
    runs = [a_run(tmp_path, **options), a_run(tmp_path, "inc_lora", name="<i>&", **options)]
    for name in ("3", "4"):
        found = studies(name, runs)
        shown = [text.text for text in sheet(found).iter(SVG + "text")]
        assert any(text and text.startswith("<b>&amp;") for text in shown)
        assert any(text and text.startswith("$x^$") for text in shown)
        assert drawing(found, "png") and panel_svg(found[0].panels[0], "s")


def test_colours_of_a_file_are_those_of_the_page_in_light():
    style = "\n".join(path.read_text(encoding="utf-8") for path in sorted(REPORT.rglob("*.jinja")))
    light = style[style.index(":root {") : style.index("prefers-color-scheme: dark")]
    stated = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    for name in ("ink", "soft", "line", "heat", "paper"):
        assert stated[name] == getattr(LIGHT, name)
    assert [stated[f"series-{place}"] for place in range(8)] == list(LIGHT.series)


def test_a_legends_sign_is_as_large_as_the_page_expects(made):
    root = ElementTree.fromstring(key_svg(only(made["3"]).legend[0], "s"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert (width, height) == pytest.approx([72 * inches for inches in SAMPLE])
