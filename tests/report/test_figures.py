"""Module names in groups, marks of runs, and drawings as clean SVG."""

import re
from xml.etree import ElementTree

from amlora.report.figures import Curve, attention, curves, projections, style


def test_llama_projections_are_named_by_their_last_part() -> None:
    modules = [f"model.layers.{layer}.self_attn.{p}_proj" for layer in (0, 1, 2) for p in "qv"]
    first, second = projections(modules)
    assert (first.title, first.layers, first.places) == ("q_proj", (0, 1, 2), (0, 2, 4))
    assert (second.title, second.places) == ("v_proj", (1, 3, 5))


def test_t5_projections_are_told_apart_by_stack_and_kind() -> None:
    modules = [
        f"{stack}.block.{block}.layer.{layer}.{kind}.{p}"
        for stack, layer, kind in (
            ("encoder", 0, "SelfAttention"),
            ("decoder", 0, "SelfAttention"),
            ("decoder", 1, "EncDecAttention"),
        )
        for block in (0, 1)
        for p in "qv"
    ]
    assert [group.title for group in projections(modules)] == [
        "encoder SelfAttention q",
        "encoder SelfAttention v",
        "decoder SelfAttention q",
        "decoder SelfAttention v",
        "decoder EncDecAttention q",
        "decoder EncDecAttention v",
    ]


def test_layers_come_in_their_order_whatever_the_files() -> None:
    (group,) = projections([f"h.{layer}.attn.c_attn" for layer in (10, 2, 1)])
    assert (group.title, group.layers, group.places) == ("c_attn", (1, 2, 10), (2, 1, 0))


def test_no_two_of_32_runs_are_drawn_alike() -> None:
    assert len({str(style(run)) for run in range(32)}) == 32


def test_a_curve_skips_what_was_not_measured() -> None:
    curve = Curve(run=0, values=(None, None, 0.5, 0.4), learned=2)
    svg = curves([curve], 3, salt="s", label="one")
    lines = re.findall(r'd="(M[^"]*)" style="fill: none; stroke: var\(--series-0\)', svg)
    assert [line.count("L") for line in lines] == [1]


def test_a_task_that_was_never_measured_is_an_empty_panel() -> None:
    svg = curves([Curve(run=0, values=(None, None), learned=1)], 1, salt="s", label="one")
    assert "--series-0" not in svg


def test_attention_has_a_cell_per_layer_and_lora_shaded_by_its_score() -> None:
    svg = attention(
        [[0.5, 0.5], [0.25, 0.75]], [0, 1], ["none", "a"], top=0.75, own="a", salt="s", label="one"
    )
    shades = [float(found) for found in re.findall(r"fill-opacity: ([0-9.]+)", svg)]
    assert svg.count("fill: var(--heat)") == 4
    assert sorted(shades) == [0.333, 0.667, 0.667]  # 0.75 is fully opaque and so has none


def test_a_drawing_is_whole_xml_with_a_label_and_without_size_or_style_sheet() -> None:
    svg = curves([Curve(run=0, values=(0.1, 0.9), learned=1)], 1, salt="s", label='a "b" <c>')
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'a "b" <c>'
    assert root.get("width") is None
    assert "<style" not in svg
    assert "font-family" not in svg
