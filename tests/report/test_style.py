"""Drawings as files and on the page: equal is equal, whole, harmless, and in the page's colours."""

import re
from dataclasses import replace
from operator import sub
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from amlora.records.run import StoredRun
from amlora.report.figures import figure_3, figure_4, picks
from amlora.report.schemes import figure_5, sparsity_sweep
from amlora.report.studies import studies
from amlora.report.style import PALETTE, Drawing, drawn, key_svg, panel_svg
from figure_records import a_run, attention, four_schemes, lower

SVG = "{http://www.w3.org/2000/svg}"
DRAW: dict[str, Any] = {
    "3": figure_3,
    "4": figure_4,
    "5": figure_5,
    "sparsity": sparsity_sweep,
    "picks": picks,
}


def drawings(runs: list[StoredRun], name: str) -> list[Drawing]:
    return [each for study in studies(runs) for each in DRAW[name](study)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Drawing]]:
    """All figures of one store."""
    store = tmp_path_factory.mktemp("runs")
    runs = [
        *four_schemes(store),
        a_run(store, name="l1", sparsity=1e-2, scores=attention(effective=3.5, top90=0.125)),
        a_run(store, "inc_lora", lower(0.2)),
        a_run(store, "inc_lora", lower(0.3), seed=1),
    ]
    return {name: drawings(runs, name) for name in DRAW}


@pytest.fixture(scope="module")
def file(made: dict[str, list[Drawing]]) -> bytes:
    """All of them below one another."""
    return drawn([each for found in made.values() for each in found], "svg")


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_equal_drawings_are_equal_bytes(made, kind):
    first = drawn(made["picks"], kind)
    assert first == drawn(made["picks"], kind)
    assert first.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[kind])
    assert b"Date" not in first


def texts(file: bytes) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(file).iter(SVG + "text"))


def box(text: ElementTree.Element) -> tuple[float, float, float]:
    """Return about where a line of text begins and ends, and its baseline."""
    style = text.get("style", "")
    size = re.search(r"([\d.]+)px", style)
    assert size is not None
    wide = 0.56 * float(size[1]) * len(text.text or "")
    anchor = re.search(r"text-anchor: (\w+)", style)
    share = {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor[1] if anchor else "start"]
    place = re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", text.get("transform", ""))
    x, y = place.groups() if place else (text.get("x", 0), text.get("y", 0))
    left = float(x) - share * wide
    return left, left + wide, float(y)


def check_edges(file: bytes) -> None:
    """Check that no text is cut off."""
    _, _, width, height = map(float, ElementTree.fromstring(file).attrib["viewBox"].split())
    shown = texts(file)
    assert len(shown) > 10
    for text in shown:
        left, right, y = box(text)
        assert left > 0 and right < width and 0 < y < height, text.text


def test_no_text_is_cut_off_at_the_edge_and_drawings_stand_below_one_another(file, made):
    check_edges(file)
    shown = {text.text: box(text)[2] for text in texts(file)}
    places = [shown[each.sheet.title] for found in made.values() for each in found]
    assert len(places) == 5 and min(map(sub, places[1:], places)) > 100


def test_no_text_of_many_tasks_is_cut_off(tmp_path: Path):
    names = [f"task{n}" for n in range(15)]
    R = [[0.0] * 15, *[[0.5] * 15] * 15]
    scores = attention(names, modules=[f"h.{layer}.attn.q_proj" for layer in range(12)])
    runs = [
        a_run(tmp_path, R=R, tasks=names, scores=scores),
        a_run(tmp_path, "inc_lora", R, tasks=names),
    ]
    (curves,), (heat,) = drawings(runs, "3"), drawings(runs, "4")
    check_edges(drawn([curves, replace(heat, panels=heat.panels[:3])], "svg"))


def test_notes_on_brackets_stand_with_the_table_alone(made):
    (drawing,) = made["5"]
    said = " ".join(text.text or "" for text in texts(drawn([drawing], "svg")))
    assert "Forgetting of a single run has no interval." in said and "(a, b)" not in said
    assert any("(a, b)" in note for note in drawing.sheet.notes)


def test_names_that_are_no_xml_or_formulas_are_drawn_as_they_are(tmp_path: Path):
    names = ["<b>&amp;", "$x^$", "a\x01_{"]
    options: dict[str, Any] = {"tasks": names, "scores": attention(names)}
    runs = [a_run(tmp_path, **options), a_run(tmp_path, "inc_lora", name="<i>&", **options)]
    for name in ("3", "4"):
        found = drawings(runs, name)
        shown = [text.text for text in texts(drawn(found, "svg"))]
        assert any(text and text.startswith("<b>&amp;") for text in shown)
        assert any(text and text.startswith("$x^$") for text in shown)
        page = panel_svg(found[0].panels[0], "s") + key_svg(names[0], {}, "k")
        assert "<b>" not in page and "\x01" not in page


@pytest.mark.parametrize("name", DRAW)
def test_the_page_has_its_own_colours_font_and_ids_and_words_for_the_blind(made, name):
    shown: list[str] = []
    for at, drawing in enumerate(made[name]):
        shown += [panel_svg(each, f"{at}-{n}") for n, each in enumerate(drawing.panels[:2])]
        shown += [key_svg(label, look, f"{at}-{label}") for label, look in drawing.legend.items()]
    for svg in shown:
        root = ElementTree.fromstring(svg)
        assert len(root.attrib["aria-label"]) >= 10 and "var(--" in svg
        assert not re.search(r": #[0-9a-f]{6}\b", svg.replace("#000000", ""))
        assert "font-family" not in svg and "url(" not in svg and "<style" not in svg
    ids = re.findall(r' id="([^"]*)"', "".join(shown))
    assert len(ids) == len(set(ids))
    assert {link for svg in shown for link in re.findall(r'href="#([^"]*)"', svg)} <= set(ids)


def test_shades_are_shares_of_the_largest_score_and_the_own_lora_is_bold(made):
    svg = panel_svg(made["4"][0].panels[2], "s")
    shades = re.findall(r"fill: var\(--heat\)(?:; fill-opacity: ([\d.]+))?", svg)
    assert sorted(shades) == ["", "", *["0.5"] * 6]
    assert re.findall(r"(?:700|bold)[^>]*>([^<]*)<", svg) == ["b"]


def test_a_deviation_that_leaves_the_axis_is_cut(tmp_path: Path):
    one, two = [[0.0] * 3, *[[1.0] * 3] * 3], [[0.0] * 3, *[[0.2] * 3] * 3]
    runs = [a_run(tmp_path, R=R, seed=seed) for seed, R in enumerate((one, two))]
    (drawing,) = drawings([*runs, a_run(tmp_path, "inc_lora", one)], "3")
    svg = panel_svg(drawing.panels[0], "s")
    strokes = re.findall(r'd="(M[^"]*)"[^>]*?stroke: var\(--series-(\d)\)', svg)
    ends = [(line, float(y)) for d, line in strokes for y in re.findall(r"[\d.]+ ([\d.]+)", d)]
    tops = {line: min(y for each, y in ends if each == line) for line in "01"}
    # As high as the score of 1 that stands beside it.
    assert tops["0"] == pytest.approx(tops["1"])


def contrast(one: str, two: str) -> float:
    """Return the contrast of two colours (WCAG 2.2)."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
def test_lines_and_words_stand_out_from_the_page_in_light_and_dark(scheme):
    paper = PALETTE["paper"][scheme]
    for name, colours in PALETTE.items():
        if name not in ("paper", "line"):
            least = 3.0 if name.startswith("series") else 4.5
            assert contrast(colours[scheme], paper) >= least, name
