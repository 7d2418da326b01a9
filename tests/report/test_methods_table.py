"""The comparison of methods: what stands in a line, which runs share one, and the five formats."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from amlora import files
from amlora.errors import InputError
from amlora.evaluate.metrics import summary
from amlora.evaluate.statistics import paired_bootstrap, seed_interval
from amlora.records.store import read_run
from amlora.report.choices import Candidate, Choice, read_choices
from amlora.report.format import MINUS
from amlora.report.methods_render import HEADINGS, render
from amlora.report.methods_table import Facts, Figure, MethodsTable, methods_tables

from .conftest import AM_LORA, JOINT, SIN_LORA, TASKS, MakeRun, general_of, record_of

FACTS = {
    "am_lora": Facts(needs_task_id=False, stores_examples=False),
    "replay": Facts(needs_task_id=False, stores_examples=True),
    "own": Facts(needs_task_id=True, stores_examples=False),
}
LOWER = [[0.50, 0.20, 0.35, 0.10], *[[value - 0.1 for value in row] for row in AM_LORA[1:]]]


def record(
    name: str, R: Any, *, method: str = "", seed: int = 0, lr: float = 1e-3, examples: int = 0
) -> dict[str, Any]:
    """Return a record with what these tables read on top."""
    made = record_of(name, R, seed=seed)
    made["method"] = method or name
    made["settings"] = {"name": name, "seed": seed, "train": {"lr": lr}}
    for index, stage in enumerate(made["stages"]):
        stage["stored_examples"] = examples * (index + 1)
    return made


def table_of(make_run: MakeRun, *records: dict[str, Any], **options: Any) -> MethodsTable:
    runs = [read_run(make_run(each)) for each in records]
    (table,) = methods_tables(runs, facts=FACTS, **options)
    return table


def test_a_line_sums_up_the_seeds_of_one_method(make_run: MakeRun):
    table = table_of(
        make_run,
        record("am_lora", AM_LORA),
        record("am_lora", LOWER, seed=1),
        record("own", AM_LORA),
    )
    _, line, other = table.lines
    assert (line.label, line.seeds, other.seeds) == ("am_lora", (0, 1), (0,))
    assert line.average is not None and line.average.sd is not None
    assert line.average.mean == pytest.approx(0.765 - 0.05)
    assert line.average.sd == pytest.approx(0.1 / 2**0.5)
    assert line.forgetting is not None and line.forgetting.mean == pytest.approx(0.14 / 3)
    assert line.learning_accuracy is not None
    assert line.learning_accuracy.mean == pytest.approx(0.80 - 0.05)
    assert line.bwt is not None and line.bwt.mean == pytest.approx(-0.14 / 3)
    assert line.trainable_parameters == 460_800 + 3 * 34_560
    assert line.stored_megabytes == pytest.approx(4 * 460_800 * 4 / 1e6)
    assert other.average == Figure(pytest.approx(0.765))  # pyright: ignore[reportArgumentType]


def test_general_ability_stands_in_a_table_of_its_own_where_some_runs_measured_it(
    make_run: MakeRun,
):
    own = {**record("own", AM_LORA), "general": general_of(3.25, 1)}
    table = table_of(
        make_run,
        {**record("am_lora", AM_LORA), "general": general_of(3.5, 6, 0.75)},
        {**record("am_lora", LOWER, seed=1), "general": general_of(3.6, 3, 0.25)},
        own,
        record("replay", AM_LORA),
    )
    said = render([table], "text")
    _, second = said.split("General ability, ")
    cells = {line.split("  ")[0]: line.split() for line in second.splitlines() if line}
    assert cells["am_lora"][1:] == [
        *("3.250", "3.550", "±", "0.071", "+0.300", "4.2", "±", "0.0"),
        *("18.8", "±", "8.8", "50.0", "±", "0.0", "27.1", "±", "8.8", "50.0", "±", "35.4"),
    ]
    assert cells["own †"][2:] == ["3.250", "3.250", "0.000", "4.2", "4.2", "50.0", "12.5"]
    assert "Not measured: replay." in second
    assert "† needs a task id and has none here" in second
    rows = list(csv.DictReader(io.StringIO(render([table], "csv"))))
    assert [row["general_loss"] for row in rows] == ["", "3.55", "3.25", ""]
    assert rows[1]["general_rejected"] == "0.5" and rows[2]["general_rejected"] == ""
    lines = json.loads(render([table], "json"))["tables"][0]["lines"]
    assert ["general_right" in line for line in lines] == [False, True, True, False]


def test_rows_routed_right_are_counted_by_task_and_told(make_run: MakeRun):
    shares = [[0.0, 1.0, 0.0, 0.0, 0.0], [0.05, 0.0, 0.95, 0.0, 0.0]]
    routing = {"stages": ["none", *TASKS], "tasks": list(TASKS[:2]), "shares": shares}
    routed = {**record("anchored_lora", AM_LORA), "routing": routing}
    routed["tasks"] = [{**task, "scored": 10 + 30 * at} for at, task in enumerate(routed["tasks"])]
    table = table_of(make_run, routed, record("am_lora", AM_LORA))
    right = (10 * 1.0 + 40 * 0.95) / 50
    found = {line.label: line.routed_right for line in table.lines}
    assert found["am_lora"] is None and found["anchored_lora"] == Figure(pytest.approx(right))  # pyright: ignore[reportArgumentType]
    said = render([table], "text")
    assert "Rows that their own task's stage answered: anchored_lora 96.0 %." in said
    others = {**routing, "stages": ["none", "stage 1", "stage 2", "stage 3", "stage 4"]}
    table = table_of(make_run, {**routed, "routing": others})
    assert table.lines[-1].routed_right is None


def test_stages_in_which_a_part_did_next_to_nothing_are_counted_below(make_run: MakeRun):
    weak, fine = record("am_lora", AM_LORA), record("replay", AM_LORA)
    for stage in (*weak["stages"], *fine["stages"]):
        stage |= {"terms": {"task": 1.0}, "remarks": []}
    for stage in weak["stages"][1:]:
        stage["remarks"] = ["the term 'sparsity' was 0.1 % of the task's loss."]
    said = render([table_of(make_run, weak, fine, record("own", AM_LORA))], "text")
    assert "(the runs say which): am_lora 3 of 4." in said
    assert "next to nothing" not in render([table_of(make_run, fine)], "text")


def test_general_ability_is_not_mentioned_where_no_run_measured_it(make_run: MakeRun):
    table = table_of(make_run, record("am_lora", AM_LORA))
    for form in ("text", "markdown", "csv", "json", "latex"):
        assert "general" not in render([table], form).lower()


def test_an_average_over_seeds_has_its_t_interval(make_run: MakeRun):
    table = table_of(make_run, record("am_lora", AM_LORA), record("am_lora", LOWER, seed=1))
    line = table.lines[1]
    assert line.over == "seeds"
    assert line.interval == pytest.approx(seed_interval([0.765, 0.665]).interval)
    said = render([table], "text")
    # t(1 degree of freedom, 97.5 %) is 12.706, and sd / sqrt(2) is 0.05.
    assert "71.5 ± 7.1 [8.0, 135.0]" in said
    assert "[a, b]: 95 % interval over seeds (Student's t)." in said and "(a, b)" not in said


def test_an_average_of_one_run_has_the_interval_of_its_test_rows(make_run: MakeRun):
    table = table_of(make_run, record("am_lora", [*AM_LORA[:-1], [0.5, 0.75, 1.0, 0.25]]))
    zero, line = table.lines
    hits = [[1.0] * n + [0.0] * (60 - n) for n in (30, 45, 60, 15)]
    expected = paired_bootstrap(hits, [[0.0] * 60] * 4, seed=0).interval
    assert (zero.interval, line.over) == (None, "rows")
    assert line.interval == pytest.approx(expected)
    said = render([table], "text")
    assert re.search(r" 62\.5 \(5\d\.\d, 6\d\.\d\) ", said)
    assert "(a, b): a single run; 95 % interval over its test rows (bootstrap)" in said
    assert "[a, b]" not in said


def test_the_first_line_is_the_model_before_learning(make_run: MakeRun):
    line = table_of(make_run, record("am_lora", AM_LORA), record("own", SIN_LORA)).lines[0]
    assert line.label == "zero-shot"
    assert line.average is not None and line.average.sd is None
    assert line.average.mean == pytest.approx((0.5 + 0.2 + 0.35 + 0.1) / 4)


def test_seeds_share_a_line_whatever_was_scored_beside_what_both_have(make_run: MakeRun):
    part = [[None] * 4, *LOWER[1:]]
    whole = record("am_lora", AM_LORA)
    whole["settings"]["evaluate"] = {"scope": "needed"}
    less = record("am_lora", part, seed=1)
    less["settings"]["evaluate"] = {"scope": "learned"}
    zero, line = table_of(make_run, whole, less).lines
    assert zero.label == "zero-shot" and zero.average is not None
    assert line.seeds == (0, 1) and line.average is not None
    table = table_of(make_run, less)
    (alone,) = table.lines
    assert alone.label == "am_lora"
    less["R"] = [*part[:2], [None, *part[2][1:]], *part[3:]]
    less["metrics"] = summary(less["R"], [60] * 4)
    said = render([table_of(make_run, less)], "text")
    assert "am_lora (forgetting, points" in said and "zero-shot" not in said


def test_a_zero_shot_score_that_differs_between_runs_has_a_deviation(make_run: MakeRun):
    rounded = [[0.50, 0.20, 0.35, 0.20], *SIN_LORA[1:]]
    table = table_of(make_run, record("am_lora", AM_LORA), record("own", rounded))
    line = table.lines[0]
    assert line.average is not None and line.average.sd == pytest.approx(0.025 / 2**0.5)
    said = render([table], "text")
    assert "± of zero-shot: over runs" in said and "±: standard deviation over seeds" not in said


def test_settings_that_differ_make_another_line_named_by_what_tells_them_apart(make_run: MakeRun):
    table = table_of(
        make_run,
        record("full", AM_LORA, method="replay", examples=3),
        record("lora", SIN_LORA, method="replay", examples=3),
    )
    assert [line.label for line in table.lines] == ["zero-shot", "full", "lora"]
    same = table_of(make_run, record("x", AM_LORA, lr=1e-3), record("x", SIN_LORA, lr=1e-4))
    names = [line.label for line in same.lines[1:]]
    assert len(set(names)) == 2 and all(re.fullmatch(r"x, x [0-9a-f]{8}", name) for name in names)


def test_other_tasks_or_another_model_are_another_table(make_run: MakeRun):
    other = record("am_lora", AM_LORA, seed=1)
    other["stream_digest"] = "b8" * 32
    third = record("am_lora", AM_LORA, seed=2)
    third["model"]["fingerprint"] = "00" * 32
    runs = [read_run(make_run(each)) for each in (record("am_lora", AM_LORA), other, third)]
    tables = methods_tables(runs, facts=FACTS)
    assert [[line.seeds for line in table.lines[1:]] for table in tables] == [
        [(2,)],
        [(0,)],
        [(1,)],
    ]


def test_a_run_that_is_given_twice_is_refused(make_run: MakeRun):
    with pytest.raises(InputError, match="the same run as"):
        table_of(make_run, record("am_lora", AM_LORA), record("am_lora", AM_LORA))


def test_labels_name_the_lines_and_order_them(make_run: MakeRun):
    folders = [make_run(record("b", AM_LORA)), make_run(record("a", SIN_LORA))]
    labels = {folders[1]: "second", folders[0]: "first"}
    (table,) = methods_tables([read_run(each) for each in folders], facts=FACTS, labels=labels)
    assert [line.label for line in table.lines[1:]] == ["second", "first"]


def test_a_joint_run_leaves_cells_empty_and_the_table_says_so(make_run: MakeRun):
    table = table_of(make_run, record("mtl", JOINT), record("am_lora", AM_LORA))
    line = table.lines[2]
    assert (line.forgetting, line.bwt, line.learning_accuracy) == (None, None, None)
    said = render([table], "text")
    assert "mtl (forgetting, points, learning accuracy, %, BWT, points, task id)" in said
    assert "joint learning has no order" in said
    (row,) = [each for each in said.splitlines() if each.startswith("mtl ")]
    assert re.match(r"mtl +83\.8 \(\d\d\.\d, \d\d\.\d\) +461 k ", row)


def test_a_line_of_which_no_run_kept_an_example_is_not_marked(make_run: MakeRun):
    """As when everything that a method wrote was refused; one kept example in one run is enough."""
    first, second = record("replay", AM_LORA), record("replay", LOWER, seed=1)
    table = table_of(make_run, first, second, record("am_lora", AM_LORA))
    assert [line.stores_examples for line in table.lines[1:]] == [False, False]
    assert "‡" not in render([table], "text")
    second["stages"][1]["stored_examples"] = 1
    table = table_of(make_run, first, second)
    assert [line.stores_examples for line in table.lines[1:]] == [True]


def test_versions_of_a_method_are_lines_of_their_own_and_named(make_run: MakeRun):
    old, new = record("own", AM_LORA), record("own", LOWER, seed=1)
    new["method_version"] = 2
    table = table_of(make_run, old, new, record("am_lora", AM_LORA))
    assert [(line.label, line.seeds) for line in table.lines[1:]] == [
        ("am_lora", (0,)),
        ("own, version 1", (0,)),
        ("own, version 2", (1,)),
    ]


def test_what_needs_a_task_id_or_examples_is_marked(make_run: MakeRun):
    table = table_of(
        make_run,
        record("own", AM_LORA),
        record("replay", AM_LORA, examples=5),
        record("am_lora", AM_LORA),
    )
    said = render([table], "text")
    assert "\nown † " in said and "\nreplay ‡ " in said and "\nam_lora  " in said
    assert "† needs a task id for an answer.\n‡ keeps or makes up examples.\n" in said
    assert [line.stored_examples for line in table.lines[1:]] == [0, 0, 20]
    assert "†" not in render([table_of(make_run, record("am_lora", AM_LORA))], "text")


def choice(**changed: Any) -> dict[str, Any]:
    return {
        "grid": "g",
        "rule": "the highest score on dev rows",
        "task": "first",
        "label": "am_lora",
        "method": "am_lora",
        "rate": 1e-3,
        "task_digest": "d1" * 32,
        "model": "f0" * 32,
        "candidates": [{"rate": 3e-4, "score": 0.5}, {"rate": 1e-3, "score": 0.6}],
        **changed,
    }


@pytest.mark.parametrize(
    ("changed", "candidates"),
    [
        ({}, (3e-4, 1e-3)),
        ({"label": "other"}, ()),
        ({"rate": 3e-4}, ()),
        ({"task_digest": "00" * 32}, ()),
        ({"model": "00" * 32}, ()),
    ],
)
def test_a_rate_names_the_candidates_of_the_choice_that_it_follows(
    make_run: MakeRun, tmp_path: Path, changed, candidates
):
    folder = tmp_path / "grids" / "g" / "choices"
    folder.mkdir(parents=True)
    files.write_sealed(folder / "am_lora-12345678.json", choice(**changed))
    choices = read_choices(tmp_path)
    table = table_of(make_run, record("am_lora", AM_LORA), choices=choices)
    assert (table.lines[1].rate, table.lines[1].candidates) == (1e-3, candidates)
    shown = "0.001 of 0.0003, 0.001" if candidates else "0.001"
    assert render([table], "text").splitlines()[4].endswith(f"  {shown}")


def test_an_altered_choice_is_refused(tmp_path: Path):
    folder = tmp_path / "grids" / "g" / "choices"
    folder.mkdir(parents=True)
    files.write_sealed(folder / "x.json", choice())
    (folder / "x.json").write_text((folder / "x.json").read_text().replace("0.001", "0.002"))
    with pytest.raises(InputError, match=r"x.json: altered"):
        read_choices(tmp_path)


@pytest.fixture
def three(make_run: MakeRun) -> MethodsTable:
    tried = Choice(
        label="own",
        method="own",
        rate=1e-3,
        task_digest="d1" * 32,
        model="f0" * 32,
        candidates=(Candidate(rate=1e-3), Candidate(rate=1e-2)),
        grid="g",
        rule="the highest score on dev rows",
        task="first",
    )
    return table_of(
        make_run,
        record("am_lora", AM_LORA),
        record("am_lora", LOWER, seed=1),
        record("own", SIN_LORA),
        record("mtl", JOINT),
        choices=[tried],
    )


def test_text_has_a_deviation_and_says_where_seeds_differ(three):
    said = render([three], "text", ["A note."])
    lines = said.splitlines()
    assert lines[0] == "small: sms, topic, film, kind (seeds 0, 1)"
    assert lines[4].split("  ")[0] == "am_lora" and "71.5 ± 7.1" in lines[4]
    assert f"{MINUS}4.7 ± 0.0" in lines[4]
    assert "Not all lines have the same seeds: am_lora [0, 1]; mtl [0]; own [0]." in lines
    assert lines[-1] == "A note."


def test_markdown_is_one_table(three):
    said = render([three], "markdown")
    rows = [line for line in said.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4
    assert {row.count("|") for row in rows} == {len(HEADINGS) + 1}
    assert rows[0].startswith("| method | average, % |")


def test_csv_has_full_precision_and_empty_cells(three):
    rows = list(csv.DictReader(io.StringIO(render([three], "csv"))))
    assert [row["label"] for row in rows] == ["zero-shot", "am_lora", "mtl", "own"]
    assert float(rows[3]["average"]) == pytest.approx(sum(SIN_LORA[-1]) / 4, abs=1e-15)
    assert (rows[3]["average_sd"], rows[2]["bwt"], rows[1]["seeds"]) == ("", "", "0 1")
    assert [row["average_interval"] for row in rows] == ["", "seeds", "rows", "rows"]
    assert float(rows[1]["average_low"]) == pytest.approx(0.715 - 12.7062 * 0.05, abs=1e-5)
    assert float(rows[1]["average_high"]) == pytest.approx(0.715 + 12.7062 * 0.05, abs=1e-5)
    assert rows[3]["candidates"] == "0.001 0.01"
    assert rows[3]["tasks"] == "sms topic film kind"


def test_json_is_the_same_values(three):
    found = json.loads(render([three], "json", ["A note."]))
    (table,) = found["tables"]
    assert found["notes"] == ["A note."]
    line = table["lines"][3]
    assert (line["label"], line["needs_task_id"], line["candidates"]) == ("own", True, [1e-3, 1e-2])
    assert line["average"] == pytest.approx(sum(SIN_LORA[-1]) / 4)
    assert table["lines"][2]["bwt"] is None


def test_latex_escapes_what_it_must(make_run: MakeRun):
    table = table_of(
        make_run, record("a_b & 5%", AM_LORA, method="own"), record("x", SIN_LORA, method="own")
    )
    said = render([table], "latex")
    assert r"a\_b \& 5\% $^\dagger$ & 76.5 (" in said
    assert r") & 4.7 & 80.0 & $-$4.7 &" in said
    body = [line for line in said.splitlines() if line.endswith(r"\\")]
    assert len(body) == 4
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(HEADINGS) - 1}
    assert not re.search(r"[^\x00-\x7f]", said)


@pytest.mark.parametrize("form", ["text", "markdown", "csv", "json", "latex"])
def test_equal_runs_give_equal_bytes_whatever_their_order(make_run: MakeRun, form):
    runs = [
        read_run(make_run(each))
        for each in (
            record("own", SIN_LORA),
            record("am_lora", LOWER, seed=1),
            record("am_lora", AM_LORA),
        )
    ]
    first = render(methods_tables(runs, facts=FACTS), form)
    assert first == render(methods_tables(runs[::-1], facts=FACTS), form)
    assert first.endswith("\n") and not first.endswith("\n\n")
