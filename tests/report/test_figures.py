"""The numbers of figures 3, 4 and 5, of the sweep and the picks, on records known by heart."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pandas import DataFrame

from amlora.errors import InputError
from amlora.evaluate.metrics import summary
from amlora.evaluate.statistics import paired_bootstrap, seed_interval
from amlora.records.run import StoredRun
from amlora.report.figures import figure_3, figure_4, picks, task_curves
from amlora.report.schemes import figure_5, sparsity_sweep
from amlora.report.studies import attentive, projections, studies
from amlora.report.style import Drawing
from figure_records import MATRIX, MODULES, a_run, attention, four_schemes, lower

JOINT = (MATRIX[0], MATRIX[-1])


def drawn(
    draw: Callable[..., list[Drawing]], runs: Sequence[StoredRun], **options: Any
) -> list[Drawing]:
    """Draw all studies of some runs."""
    labels = options.pop("labels", None)
    return [each for study in studies(runs, labels) for each in draw(study, **options)]


def numbers(drawing: Drawing, **wanted: Any) -> DataFrame:
    """Return the rows of a drawing's numbers that have these values."""
    found = drawing.sheet.values
    assert found is not None
    for name, value in wanted.items():
        found = found[found[name] == value]
    return found


def shown(drawing: Drawing, *words: str) -> list[str]:
    """Return what the only row that begins with these words shows behind them."""
    rows = drawing.sheet.shown.to_numpy().tolist()
    (row,) = [row for row in rows if tuple(row[: len(words)]) == words]
    return row[len(words) :]


# Figure 3


def test_each_task_but_the_last_has_its_scores_from_its_own_stage_on(tmp_path: Path):
    (drawing,) = drawn(figure_3, [a_run(tmp_path), a_run(tmp_path, "inc_lora", lower(0.1))])
    assert numbers(drawing, task="a", line="am_lora")["accuracy"].tolist() == [0.9, 0.8, 0.6]
    assert numbers(drawing, task="a", kind="without")["accuracy"].tolist() == [0.8, 0.7, 0.5]
    assert numbers(drawing, task="b", line="am_lora")["after"].tolist() == [2, 3]
    assert [panel.title for panel in drawing.panels] == ["a", "b"]
    assert [*drawing.legend] == ["with: am_lora", "without: inc_lora"]
    assert shown(drawing, "b", "with", "am_lora") == ["", "70.0", "50.0"]


def test_seeds_are_averaged_with_their_deviation(tmp_path: Path):
    runs = [a_run(tmp_path), a_run(tmp_path, R=lower(0.2), seed=1), a_run(tmp_path, "inc_lora")]
    (drawing,) = drawn(figure_3, runs)
    row = numbers(drawing, line="am_lora").iloc[0]
    assert (row["accuracy"], row["sd"]) == (pytest.approx(0.8), pytest.approx(0.2 / 2**0.5))
    assert row["seeds"] == [0, 1]
    assert shown(drawing, "a", "with", "am_lora")[0] == "80.0 ± 14.1"
    assert drawing.sheet.notes[-1].endswith("same seeds: am_lora [0, 1]; inc_lora [0].")


def test_a_word_is_a_label_before_it_is_a_name_and_a_name_before_it_is_a_method(tmp_path: Path):
    runs = [
        a_run(tmp_path),
        a_run(tmp_path, name="ramp", newcomer="ramp"),
        a_run(tmp_path, name="gain", gain="loras"),
        a_run(tmp_path, "inc_lora"),
    ]

    def lines(**options: Any) -> list[str]:
        (drawing,) = drawn(figure_3, runs, **options)
        return [label.split(": ")[1] for label in drawing.legend]

    assert lines() == ["am_lora", "inc_lora"]
    assert lines(with_="ramp", without="gain") == ["ramp", "gain"]
    labels = {str(run.path): label for run, label in zip(runs, "wxyz", strict=True)}
    assert lines(with_="y", without="z", labels=labels) == ["y", "z"]
    # No line is called so, but one run is.
    assert lines(without="z", labels=labels) == ["w", "z"]
    runs[0] = a_run(tmp_path, name="first")
    assert lines() == ["first", "gain", "ramp", "inc_lora"]


def test_other_streams_are_other_figures_and_joint_runs_none(tmp_path: Path):
    runs = [a_run(tmp_path, method, stream=s) for method in ("am_lora", "inc_lora") for s in "78"]
    assert len(drawn(figure_3, runs)) == 2
    assert drawn(figure_3, [a_run(tmp_path), a_run(tmp_path, "inc_lora", stream="99")]) == []
    joint = [runs[0], a_run(tmp_path, "mtl", JOINT, stream="7")]
    assert drawn(figure_3, joint, without="mtl") == []


# Each task over the stages, on the page


def test_curves_begin_where_something_was_measured_and_joint_runs_are_levels(tmp_path: Path):
    part = [[None] * 3, [0.9, None, None], [0.8, 0.7, None], MATRIX[3]]
    (study,) = studies([a_run(tmp_path, R=part), a_run(tmp_path, "inc_lora", part)])
    assert [*task_curves(study).sheet.shown][:3] == ["task", "line", "after a"]
    (study,) = studies([a_run(tmp_path / "all"), a_run(tmp_path, "mtl", JOINT)])
    drawing = task_curves(study)
    assert [*drawing.legend] == ["am_lora", "mtl (level: all tasks at once)"]
    assert shown(drawing, "a", "mtl") == ["10.0", "–", "–", "60.0"]  # noqa: RUF001
    assert shown(drawing, "b", "am_lora") == ["0.0", "10.0", "70.0", "50.0"]


# Figure 4


def test_scores_are_averaged_over_seeds_by_projection(tmp_path: Path):
    runs = [
        a_run(tmp_path, scores=attention(own=0.4)),
        a_run(tmp_path, seed=1, scores=attention(own=0.7)),
        a_run(tmp_path, seed=2),
    ]
    (drawing,) = drawn(figure_4, runs)
    found = numbers(drawing, task="b", projection="v_proj", layer=1)
    assert found["lora"].tolist() == ["none", *"abc"]
    assert found["score"].tolist() == pytest.approx((0.15, 0.15, 0.55, 0.15))
    assert found["seeds"].tolist()[0] == [0, 1]
    assert shown(drawing, "b", "v_proj", "1") == ["15.0", "15.0", "55.0", "15.0"]
    assert [panel.title for panel in drawing.panels[:3]] == ["a, q_proj", "a, v_proj", "b, q_proj"]


def test_layers_keep_their_own_scores(tmp_path: Path):
    scores = attention()
    scores["mean"][0][MODULES.index("h.1.attn.v_proj")] = [0.0, 1.0, 0.0, 0.0]
    (drawing,) = drawn(figure_4, [a_run(tmp_path, scores=scores)])
    found = [numbers(drawing, task="a", projection=each, layer=1) for each in ("q_proj", "v_proj")]
    assert found[0]["score"].tolist() == pytest.approx((0.2, 0.4, 0.2, 0.2))
    assert found[1]["score"].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_one_task_can_be_shown_alone(tmp_path: Path):
    (drawing,) = drawn(figure_4, [a_run(tmp_path, scores=attention())], task="b")
    assert set(numbers(drawing)["task"]) == {"b"} and len(drawing.panels) == 2


@pytest.mark.parametrize("draw", [figure_4, picks])
def test_seeds_with_other_modules_are_refused(tmp_path: Path, draw: Any):
    scores = attention(modules=MODULES[:2])
    runs = [a_run(tmp_path, scores=attention()), a_run(tmp_path, seed=1, scores=scores)]
    with pytest.raises(InputError, match="other modules, LoRAs or tasks"):
        drawn(draw, runs)


@pytest.mark.parametrize(
    ("own", "routed", "varied", "expected"),
    [
        (0.4, False, False, True),
        (0.25, False, False, False),  # of a plain sum or a mean: all equal
        (0.4, True, False, False),  # of stages that are summed: where prompts were sent
        (0.4, True, True, True),
    ],
)
def test_fixed_weights_are_no_attention(tmp_path: Path, own, routed, varied, expected):
    scores = attention(own=own)
    scores["mean"][0][0] = [0.0, 1.0, 0.0, 0.0] if varied else scores["mean"][0][0]
    routing = {"stages": ["none"], "tasks": ["a"], "shares": [[1.0]]} if routed else None
    run = a_run(tmp_path, "anchored_lora", scores=scores, routing=routing)
    assert attentive(run) is expected
    assert bool(drawn(figure_4, [run], with_="anchored_lora")) is expected


def test_projections_are_told_apart_by_what_differs_and_layers_sorted():
    found = projections([f"m.layers.{at}.self_attn.{p}_proj" for at in (10, 2, 1) for p in "qv"])
    assert found["projection"].tolist() == ["q_proj"] * 3 + ["v_proj"] * 3
    assert found["layer"].tolist() == [1, 2, 10] * 2 and found.index.tolist() == [4, 2, 0, 5, 3, 1]
    kinds = (("encoder", 0, "SelfAttention"), ("decoder", 1, "EncDecAttention"))
    modules = [f"{a}.block.{at}.layer.{n}.{b}.q" for a, n, b in kinds for at in (0, 1)]
    assert projections(modules)["projection"].unique().tolist() == [
        "encoder SelfAttention",
        "decoder EncDecAttention",
    ]


# Figure 5


def average(R: Any) -> float:
    found = summary(R, [20] * 3)["average"]
    assert found is not None
    return found


def runs_of(drawing: Drawing) -> list[str]:
    return numbers(drawing)["runs"].tolist()


def test_the_four_schemes_are_told_apart_by_selectors_and_sparsity(tmp_path: Path):
    (drawing,) = drawn(figure_5, four_schemes(tmp_path))
    assert drawing.sheet.shown["scheme"].tolist() == ["NR", "NR + L1", "AR", "AR + L1"]
    assert runs_of(drawing) == ["new", "new-l1", "all", "am_lora"]
    expected = [average(lower(by)) for by in (0.15, 0.10, 0.05, 0.0)]
    assert numbers(drawing)["average"].tolist() == pytest.approx(expected)
    assert numbers(drawing)["sparsity"].tolist() == ["0", "1e-05", "0", "1e-05"]


def test_a_single_run_has_intervals_over_its_test_rows(tmp_path: Path):
    (drawing,) = drawn(figure_5, four_schemes(tmp_path))
    row = numbers(drawing, scheme="AR + L1").iloc[0]
    # Just after its own stage each task of twenty rows had 18, 14 and 20 right answers.
    hits = [[1.0] * n + [0.0] * (20 - n) for n in (18, 14, 20)]
    expected = paired_bootstrap(hits, [[0.0] * 20] * 3, seed=0)
    assert row["learning_accuracy"] == pytest.approx(expected.mean)
    ends = row["learning_accuracy_low"], row["learning_accuracy_high"]
    assert ends == pytest.approx(expected.interval)
    assert (row["learning_accuracy_interval"], row["forgetting_interval"]) == ("rows", "")
    assert row["forgetting"] == pytest.approx((0.3 + 0.2) / 2)
    assert "Forgetting of a single run has no interval." in drawing.sheet.notes
    assert [*drawing.legend] == ["95 % interval over one run's test rows"]


def test_several_seeds_have_intervals_over_seeds(tmp_path: Path):
    more = [lower(0.1), (*MATRIX[:3], (0.9, 0.5, 1.0))]
    runs = [*four_schemes(tmp_path), *(a_run(tmp_path, R=more[n], seed=n + 1) for n in (0, 1))]
    (drawing,) = drawn(figure_5, runs)
    row = numbers(drawing, scheme="AR + L1").iloc[0]
    assert row["seeds"] == (0, 1, 2)
    for name in ("average", "forgetting", "learning_accuracy"):
        expected = seed_interval([summary(R, [20] * 3)[name] or 0 for R in (MATRIX, *more)])
        assert row[f"{name}_interval"] == "seeds"
        assert row[name] == pytest.approx(expected.mean)
        assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(expected.interval)


def test_a_scheme_without_a_run_is_named_and_has_no_number(tmp_path: Path):
    (drawing,) = drawn(figure_5, four_schemes(tmp_path)[1:])
    assert shown(drawing, "NR") == ["no run", "", "", "", "", ""]
    assert "No run: NR." in drawing.sheet.notes


def test_without_runs_of_both_selectors_there_is_no_figure(tmp_path: Path):
    _, _, all_, centre = four_schemes(tmp_path)
    assert drawn(figure_5, [all_, centre]) == []
    assert drawn(figure_5, [a_run(tmp_path, "inc_lora")]) == []


def test_other_settings_are_no_scheme_and_of_several_weights_the_fullest_is_shown(tmp_path: Path):
    first, new, all_, centre = four_schemes(tmp_path)
    gain = a_run(tmp_path, name="gain", gain="loras")
    (drawing,) = drawn(figure_5, [new, all_, gain])
    assert runs_of(drawing) == ["", "new-l1", "all", ""]
    sweep = [a_run(tmp_path, name=f"l1-{v}", sparsity=v) for v in (1e-3, 1e-2)]
    forms = [a_run(tmp_path, name="proximal", sparsity_form="proximal")]
    (drawing,) = drawn(figure_5, [first, new, all_, centre, *sweep, *forms])
    assert runs_of(drawing) == ["new", "new-l1", "all", "am_lora"]


def test_each_scheme_may_have_its_own_rate_but_one_scheme_at_two_rates_is_not_mixed(tmp_path: Path):
    runs = four_schemes(tmp_path)
    other = a_run(tmp_path, name="new", selectors="new", sparsity=0.0, lr=3e-3)
    (drawing,) = drawn(figure_5, [other, *runs[1:]])
    assert numbers(drawing)["learning_rate"].tolist() == [3e-3, 1e-3, 1e-3, 1e-3]
    (drawing,) = drawn(figure_5, [*runs, a_run(tmp_path, R=lower(0.3), lr=3e-3)])
    assert set(numbers(drawing)["learning_rate"]) == {1e-3}
    assert numbers(drawing)["average"].tolist()[3] == pytest.approx(average(MATRIX))


def test_a_run_that_is_there_under_two_names_counts_once(tmp_path: Path):
    (drawing,) = drawn(figure_5, [*four_schemes(tmp_path), a_run(tmp_path, name="centre")])
    assert any(note.endswith("under another name: 1.") for note in drawing.sheet.notes)
    assert numbers(drawing)["seeds"].tolist()[3] == (0,)


def test_a_weight_for_each_task_is_one_weight(tmp_path: Path):
    weights = [0.0, 1e-2, 1e-3]
    runs = [
        a_run(tmp_path, name="n", selectors="new", sparsity=weights),
        a_run(tmp_path, name="a", sparsity=weights),
        a_run(tmp_path, name="z", sparsity=[0.0, 0.0, 0.0]),
    ]
    (drawing,) = drawn(figure_5, runs)
    assert runs_of(drawing) == ["", "n", "z", "a"]
    assert numbers(drawing)["sparsity"].tolist()[1] == "0 to 0.01, per task"


# The sweep


def swept(store: Path) -> list[StoredRun]:
    return [
        a_run(store, name="l1-1e-2", sparsity=1e-2, scores=attention(effective=4.0)),
        a_run(store, scores=attention(top90=0.25, effective=2.0)),
        a_run(store, seed=1, scores=attention(top90=0.35, effective=3.0)),
        a_run(store, name="none", sparsity=0.0, R=lower(0.1)),
    ]


def test_the_sweep_has_a_point_for_each_weight_in_its_order(tmp_path: Path):
    (drawing,) = drawn(sparsity_sweep, swept(tmp_path))
    found = numbers(drawing)
    assert found["sparsity"].tolist() == [0.0, 1e-5, 1e-2] and set(found["most"]) == {4}
    assert found["average"].tolist()[0] == pytest.approx(average(lower(0.1)))
    assert shown(drawing, "0", "none")[2:4] == ["–", "–"]  # noqa: RUF001
    assert shown(drawing, "1e-05", "am_lora")[2:4] == ["30.0 ± 7.1", "2.50 ± 0.71"]
    assert shown(drawing, "0.01", "l1-1e-2")[2:4] == ["0.0", "4.00"]
    assert "N + 1 = 4" in drawing.legend


def test_sparsity_is_averaged_over_tasks_and_modules(tmp_path: Path):
    scores = attention()
    scores["top90"] = [[0.1, 0.2, 0.3, 0.4], [0.0] * 4, [0.5] * 4]
    runs = [a_run(tmp_path, scores=scores), a_run(tmp_path, name="z", sparsity=0.0)]
    (drawing,) = drawn(sparsity_sweep, runs)
    assert numbers(drawing)["above_0.9"].tolist()[1] == pytest.approx((0.25 + 0.0 + 0.5) / 3)


def test_forms_are_kept_apart_share_the_weight_0_and_other_runs_are_not_of_it(tmp_path: Path):
    proximal = a_run(tmp_path, name="p", sparsity_form="proximal", sparsity=1e-3)
    more = [
        a_run(tmp_path, name="new", selectors="new", sparsity=1e-1),
        a_run(tmp_path, name="list", sparsity=[0.0, 1e-1, 0.0]),
        a_run(tmp_path, name="stream", sparsity=1e-1, stream="99"),
    ]
    found = [numbers(each) for each in drawn(sparsity_sweep, [*swept(tmp_path), proximal, *more])]
    assert [each["sparsity"].tolist() for each in found] == [[0.0, 1e-5, 1e-2], [0.0, 1e-3]]
    one = [a_run(tmp_path / "one"), a_run(tmp_path, "inc_lora")]
    assert drawn(sparsity_sweep, one) == []


# Picks


def test_the_rate_of_right_picks_is_a_mean_over_tasks_and_seeds(tmp_path: Path):
    scores = attention()
    scores["picked"] = [[0.2, 0.4, 0.6, 1.0], [None] * 4, [0.4, 0.6, 0.8, 1.0]]
    fixed = a_run(tmp_path, "mean_lora", scores=attention(own=0.25, picked=1 / 3))
    runs = [a_run(tmp_path, scores=scores), a_run(tmp_path, seed=1, scores=attention(picked=0.5))]
    (drawing,) = drawn(picks, [*runs, fixed])
    found = numbers(drawing).set_index(["projection", "layer"])["rate"]
    assert found["q_proj"].dropna().tolist() == pytest.approx([(0.4 + 0.6) / 2, 0.4, 0.6])
    assert found["v_proj"].dropna().tolist() == pytest.approx([0.625, 0.5, 0.75])
    assert shown(drawing, "am_lora", "all", "all") == ["56.2"]
    assert set(numbers(drawing)["chance"]) == {1 / 3}
    assert drawing.sheet.notes[-1].endswith("no scores to pick with: mean_lora.")
    assert drawn(picks, [fixed]) == []


def test_tasks_without_a_lora_of_their_own_or_one_lora_have_nothing_to_pick(tmp_path: Path):
    nobody, alone = attention(picked=None), attention(("a",), picked=1.0)
    one = a_run(tmp_path, name="one", R=[[0.1], [0.9]], tasks=("a",), scores=alone)
    assert drawn(picks, [a_run(tmp_path, scores=nobody), one]) == []


def test_numbers_do_not_depend_on_the_order_of_runs(tmp_path: Path):
    runs = [*four_schemes(tmp_path), a_run(tmp_path, "inc_lora"), *swept(tmp_path / "more")[:1]]
    for draw in (figure_3, figure_4, figure_5, sparsity_sweep, picks):
        first = [each.sheet.values for each in drawn(draw, runs)]
        assert first
        again = [each.sheet.values for each in drawn(draw, runs[::-1])]
        assert all(a.equals(b) for a, b in zip(first, again, strict=True))  # pyright: ignore
