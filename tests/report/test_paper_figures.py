"""The values of figures 3, 4 and 5, of the sweep and of the picks, on records known by heart."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from amlora.errors import InputError
from amlora.evaluate.metrics import summary
from amlora.evaluate.statistics import paired_bootstrap, seed_interval
from amlora.records.run import StoredRun as Run
from amlora.report.methods_table import Figure
from amlora.report.paper_figures import figure_3, figure_4, figure_5, picks, sparsity_sweep
from amlora.report.studies.figure_5 import Figure5
from amlora.report.studies.sparsity import Sweep
from figure_records import MATRIX, MODULES, a_run, attention, four_schemes, lower

JOINT = (MATRIX[0], MATRIX[-1])


# Figure 3


def test_each_task_but_the_last_has_its_scores_from_its_own_stage_on(tmp_path: Path):
    runs = [a_run(tmp_path), a_run(tmp_path, "inc_lora", lower(0.1))]
    (figure,) = figure_3(runs)
    assert [(task.task, task.learned) for task in figure.tasks] == [("a", 1), ("b", 2)]
    (first, second) = ([series.values for series in task.series] for task in figure.tasks)
    assert first[0] == (Figure(0.9), Figure(0.8), Figure(0.6))
    assert first[1] == (Figure(0.8), Figure(0.7), Figure(0.5))
    assert second[0] == (Figure(0.7), Figure(0.5))
    kinds = [(series.label, series.mixed) for series in figure.tasks[0].series]
    assert kinds == [("am_lora", True), ("inc_lora", False)]


def test_seeds_are_averaged_with_their_deviation(tmp_path: Path):
    runs = [a_run(tmp_path), a_run(tmp_path, R=lower(0.2), seed=1), a_run(tmp_path, "inc_lora")]
    (figure,) = figure_3(runs)
    with_, without = figure.tasks[0].series
    assert (with_.seeds, without.seeds) == ((0, 1), (0,))
    value = with_.values[0]
    assert value is not None and value.sd is not None
    assert (value.mean, value.sd) == (pytest.approx(0.8), pytest.approx(0.2 / 2**0.5))


def test_what_stands_beside_it_can_be_another_method(tmp_path: Path):
    runs = [a_run(tmp_path), a_run(tmp_path, "sin_lora")]
    assert figure_3(runs) == []
    (figure,) = figure_3(runs, without="sin_lora")
    assert [series.label for series in figure.tasks[0].series] == ["am_lora", "sin_lora"]


def test_a_word_is_a_label_before_it_is_a_name_and_a_name_before_it_is_a_method(tmp_path: Path):
    runs = [
        a_run(tmp_path),
        a_run(tmp_path, name="ramp", newcomer="ramp"),
        a_run(tmp_path, name="gain", gain="loras"),
        a_run(tmp_path, "inc_lora"),
    ]

    def shown(**options: Any) -> list[list[str]]:
        return [
            [series.label for series in figure.tasks[0].series]
            for figure in figure_3(runs, **options)
        ]

    assert shown() == [["am_lora", "inc_lora"]]
    assert shown(with_="ramp", without="gain") == [["ramp", "gain"]]
    labels = {run.path: label for run, label in zip(runs, "wxyz", strict=True)}
    assert shown(with_="y", without="z", labels=labels) == [["y", "z"]]
    # No line is called so, but one run is.
    assert shown(without="z", labels=labels) == [["w", "z"]]
    runs[0] = a_run(tmp_path, name="first")
    assert shown() == [["first", "gain", "ramp", "inc_lora"]]


def test_other_streams_are_other_figures_and_joint_runs_none(tmp_path: Path):
    runs = [a_run(tmp_path, method, stream=s) for method in ("am_lora", "inc_lora") for s in "78"]
    assert [figure.subject.stream_digest[0] for figure in figure_3(runs)] == ["7", "8"]
    assert figure_3([a_run(tmp_path), a_run(tmp_path, "inc_lora", stream="99")]) == []
    assert figure_3([*runs[:1], a_run(tmp_path, "mtl", JOINT, stream="7")], without="mtl") == []


# Figure 4


def test_scores_are_averaged_over_seeds_by_projection(tmp_path: Path):
    runs = [
        a_run(tmp_path, scores=attention(own=0.4)),
        a_run(tmp_path, seed=1, scores=attention(own=0.7)),
        a_run(tmp_path, seed=2),
    ]
    (figure,) = figure_4(runs)
    assert (figure.seeds, figure.tasks, figure.loras) == ((0, 1), ("a", "b", "c"), ("none", *"abc"))
    first, second = figure.projections
    assert (first.title, second.title, first.layers) == ("q_proj", "v_proj", (0, 1))
    assert first.scores["b"][1] == pytest.approx((0.15, 0.15, 0.55, 0.15))
    assert figure.top == pytest.approx(0.55)


def test_layers_keep_their_own_scores(tmp_path: Path):
    scores = attention()
    scores["mean"][0][MODULES.index("h.1.attn.v_proj")] = [0.0, 1.0, 0.0, 0.0]
    (figure,) = figure_4([a_run(tmp_path, scores=scores)])
    assert figure.projections[1].scores["a"][1] == (0.0, 1.0, 0.0, 0.0)
    assert figure.projections[0].scores["a"][1] == pytest.approx((0.2, 0.4, 0.2, 0.2))


def test_one_task_can_be_shown_alone_if_there_is_one(tmp_path: Path):
    runs = [a_run(tmp_path, scores=attention())]
    (figure,) = figure_4(runs, task="b")
    assert figure.tasks == ("b",) and list(figure.projections[0].scores) == ["b"]
    with pytest.raises(InputError, match=r"task 'x': .*; there are: a, b, c\."):
        figure_4(runs, task="x")


def test_lines_without_attention_have_no_figure(tmp_path: Path):
    assert figure_4([a_run(tmp_path), a_run(tmp_path, "mean_lora", scores=attention())]) == []


def test_seeds_with_other_modules_are_refused(tmp_path: Path):
    runs = [
        a_run(tmp_path, scores=attention()),
        a_run(tmp_path, seed=1, scores=attention(modules=MODULES[:2])),
    ]
    with pytest.raises(InputError, match="other modules, LoRAs or tasks"):
        figure_4(runs)


# Figure 5


def average(R: Any) -> float:
    found = summary(R, [20] * 3)["average"]
    assert found is not None
    return 100 * found


def schemes(figure: Figure5) -> dict[str, str]:
    return {scheme.name: scheme.runs for scheme in figure.schemes}


def test_the_four_schemes_are_told_apart_by_selectors_and_sparsity(tmp_path: Path):
    (figure,) = figure_5(four_schemes(tmp_path))
    assert (figure.sparsity, figure.form, figure.missing) == ("1e-05", "loss", ())
    assert schemes(figure) == {"NR": "new", "NR + L1": "new-l1", "AR": "all", "AR + L1": "am_lora"}
    values = [scheme.average.value for scheme in figure.schemes if scheme.average]
    assert values == pytest.approx([average(lower(by)) for by in (0.15, 0.10, 0.05, 0.0)])


def test_a_single_run_has_intervals_over_its_test_rows(tmp_path: Path):
    (figure,) = figure_5(four_schemes(tmp_path))
    scheme = figure.schemes[3]
    assert scheme.learning_accuracy is not None and scheme.forgetting is not None
    # Just after its own stage each task of twenty rows had 18, 14 and 20 right answers.
    hits = [[100.0] * n + [0.0] * (20 - n) for n in (18, 14, 20)]
    expected = paired_bootstrap(hits, [[0.0] * 20] * 3, seed=0)
    assert scheme.learning_accuracy.interval == expected.interval
    assert scheme.learning_accuracy.value == pytest.approx(expected.mean)
    assert scheme.learning_accuracy.over == "rows"
    assert (scheme.forgetting.over, scheme.forgetting.interval) == ("", None)
    assert scheme.forgetting.value == pytest.approx(100 * (0.3 + 0.2) / 2)


def test_several_seeds_have_intervals_over_seeds(tmp_path: Path):
    more = [lower(0.1), (*MATRIX[:3], (0.9, 0.5, 1.0))]
    runs = [*four_schemes(tmp_path), *(a_run(tmp_path, R=more[n], seed=n + 1) for n in (0, 1))]
    (figure,) = figure_5(runs)
    scheme = figure.schemes[3]
    assert scheme.seeds == (0, 1, 2)
    for name, cell in (
        ("average", scheme.average),
        ("forgetting", scheme.forgetting),
        ("learning_accuracy", scheme.learning_accuracy),
    ):
        assert cell is not None and cell.over == "seeds"
        values = [100 * (summary(R, [20] * 3)[name] or 0) for R in (MATRIX, *more)]
        expected = seed_interval(values)
        assert cell.value == pytest.approx(expected.mean)
        assert cell.interval == pytest.approx(expected.interval)


def test_a_scheme_without_a_run_is_named_and_has_no_number(tmp_path: Path):
    (figure,) = figure_5(four_schemes(tmp_path)[1:])
    assert figure.missing == ("NR",)
    scheme = figure.schemes[0]
    assert (scheme.average, scheme.forgetting, scheme.learning_accuracy) == (None, None, None)


def test_without_runs_of_both_selectors_there_is_no_figure(tmp_path: Path):
    _, _, all_, centre = four_schemes(tmp_path)
    assert figure_5([all_, centre]) == []
    assert figure_5([a_run(tmp_path, "inc_lora")]) == []


def test_other_settings_are_no_scheme(tmp_path: Path):
    _, new, all_, _ = four_schemes(tmp_path)
    (figure,) = figure_5([new, all_, a_run(tmp_path, name="gain", gain="loras")])
    assert figure.missing == ("NR", "AR + L1")


def test_of_several_weights_the_one_with_most_schemes_is_shown(tmp_path: Path):
    sweep = [a_run(tmp_path, name=f"l1-{v}", sparsity=v) for v in (1e-3, 1e-2)]
    forms = [a_run(tmp_path, name="proximal", sparsity_form="proximal")]
    (figure,) = figure_5([*four_schemes(tmp_path), *sweep, *forms])
    assert (figure.sparsity, figure.missing) == ("1e-05", ())


def test_each_scheme_may_have_the_rate_that_was_chosen_for_it(tmp_path: Path):
    runs = four_schemes(tmp_path)
    runs[0] = a_run(tmp_path, name="new", selectors="new", sparsity=0.0, lr=3e-3)
    (figure,) = figure_5(runs)
    assert [scheme.rate for scheme in figure.schemes] == [3e-3, 1e-3, 1e-3, 1e-3]


def test_one_scheme_at_two_rates_does_not_mix_them(tmp_path: Path):
    (figure,) = figure_5([*four_schemes(tmp_path), a_run(tmp_path, R=lower(0.3), lr=3e-3)])
    assert {scheme.rate for scheme in figure.schemes} == {1e-3}
    assert figure.schemes[3].average is not None
    assert figure.schemes[3].average.value == pytest.approx(average(MATRIX))


def test_a_run_that_is_there_under_two_names_counts_once(tmp_path: Path):
    (figure,) = figure_5([*four_schemes(tmp_path), a_run(tmp_path, name="centre")])
    assert figure.repeated == 1 and figure.schemes[3].seeds == (0,)


def test_a_weight_for_each_task_is_one_weight(tmp_path: Path):
    weights = [0.0, 1e-2, 1e-3]
    runs = [
        a_run(tmp_path, name="n", selectors="new", sparsity=weights),
        a_run(tmp_path, name="a", sparsity=weights),
        a_run(tmp_path, name="z", sparsity=[0.0, 0.0, 0.0]),
    ]
    (figure,) = figure_5(runs)
    assert figure.sparsity == "0 to 0.01, per task"
    assert schemes(figure) == {"NR": "", "NR + L1": "n", "AR": "z", "AR + L1": "a"}


# The sweep


def weights(sweep: Sweep) -> list[float]:
    return [point.sparsity for point in sweep.points]


def swept(store: Path) -> list[Run]:
    return [
        a_run(store, name="l1-1e-2", sparsity=1e-2, scores=attention(effective=4.0)),
        a_run(store, scores=attention(top90=0.25, effective=2.0)),
        a_run(store, seed=1, scores=attention(top90=0.35, effective=3.0)),
        a_run(store, name="none", sparsity=0.0, R=lower(0.1)),
    ]


def test_the_sweep_has_a_point_for_each_weight_in_its_order(tmp_path: Path):
    (sweep,) = sparsity_sweep(swept(tmp_path))
    assert (sweep.form, sweep.selectors, sweep.most) == ("loss", "all", 4)
    assert weights(sweep) == [0.0, 1e-5, 1e-2]
    zero, middle, last = sweep.points
    assert (zero.sharp, zero.effective) == (None, None)
    assert zero.average is not None and zero.average.value == pytest.approx(average(lower(0.1)))
    assert middle.seeds == (0, 1) and middle.sharp is not None and middle.effective is not None
    assert (middle.sharp.mean, middle.effective.mean) == (pytest.approx(0.3), pytest.approx(2.5))
    assert middle.effective.sd == pytest.approx(0.5**0.5)
    assert last.effective == Figure(4.0)


def test_sparsity_is_averaged_over_tasks_and_modules(tmp_path: Path):
    scores = attention()
    scores["top90"] = [[0.1, 0.2, 0.3, 0.4], [0.0] * 4, [0.5] * 4]
    runs = [a_run(tmp_path, scores=scores), a_run(tmp_path, name="z", sparsity=0.0)]
    (sweep,) = sparsity_sweep(runs)
    assert sweep.points[1].sharp is not None
    assert sweep.points[1].sharp.mean == pytest.approx((0.25 + 0.0 + 0.5) / 3)


def test_forms_of_the_term_are_kept_apart_and_share_the_weight_0(tmp_path: Path):
    proximal = a_run(tmp_path, name="p", sparsity_form="proximal", sparsity=1e-3)
    loss, other = sparsity_sweep([*swept(tmp_path), proximal])
    assert (loss.form, weights(loss)) == ("loss", [0.0, 1e-5, 1e-2])
    assert (other.form, weights(other)) == ("proximal", [0.0, 1e-3])


def test_runs_that_differ_in_more_are_not_of_the_sweep(tmp_path: Path):
    more = [
        a_run(tmp_path, name="new", selectors="new", sparsity=1e-1),
        a_run(tmp_path, name="list", sparsity=[0.0, 1e-1, 0.0]),
        a_run(tmp_path, name="stream", sparsity=1e-1, stream="99"),
    ]
    (sweep,) = sparsity_sweep([*swept(tmp_path), *more])
    assert weights(sweep) == [0.0, 1e-5, 1e-2]


def test_one_weight_is_no_sweep(tmp_path: Path):
    assert sparsity_sweep([a_run(tmp_path), a_run(tmp_path, "inc_lora")]) == []


# Picks


def test_the_rate_of_right_picks_is_a_mean_over_tasks_and_seeds(tmp_path: Path):
    scores = attention()
    scores["picked"] = [[0.2, 0.4, 0.6, 1.0], [None] * 4, [0.4, 0.6, 0.8, 1.0]]
    runs = [a_run(tmp_path, scores=scores), a_run(tmp_path, seed=1, scores=attention(picked=0.5))]
    (found,) = picks(runs)
    (line,) = found.lines
    assert found.chance == pytest.approx(1 / 3)
    query, value = line.projections
    assert query.rates == pytest.approx(((0.3 + 0.5) / 2, (0.7 + 0.5) / 2))
    assert value.rates == pytest.approx(((0.5 + 0.5) / 2, (1.0 + 0.5) / 2))
    assert value.mean == pytest.approx((0.5 + 0.75) / 2)
    assert line.mean == pytest.approx((0.4 + 0.6 + 0.5 + 0.75) / 4)


def test_lines_with_equal_scores_are_told_as_such(tmp_path: Path):
    fixed = a_run(tmp_path, "mean_lora", scores=attention(own=0.25, picked=1 / 3))
    assert picks([fixed]) == []
    (found,) = picks([fixed, a_run(tmp_path, scores=attention())])
    assert [(line.label, line.fixed) for line in found.lines] == [
        ("am_lora", False),
        ("mean_lora", True),
    ]


def test_files_without_the_rate_or_with_one_lora_have_nothing_to_pick(tmp_path: Path):
    older = attention()
    del older["picked"]
    alone = attention(("a",), picked=1.0)
    nobody = attention(picked=None)
    runs = [
        a_run(tmp_path, name=str(n), scores=scores, seed=n)
        for n, scores in enumerate((older, nobody))
    ]
    runs.append(a_run(tmp_path, name="one", R=[[0.1], [0.9]], tasks=("a",), scores=alone))
    assert picks(runs) == []


def test_results_do_not_depend_on_the_order_of_runs(tmp_path: Path):
    runs = [*four_schemes(tmp_path), a_run(tmp_path, "inc_lora"), *swept(tmp_path / "more")[:1]]
    for make in (figure_3, figure_4, figure_5, sparsity_sweep, picks):
        first = make(runs)
        assert first
        for other in itertools.islice(itertools.permutations(runs), 1, None, 97):
            assert make(other) == first
