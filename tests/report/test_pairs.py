"""Methods in pairs: differences, intervals and verdicts by hand, and what cannot be compared."""

from pathlib import Path

import pytest
from pandas import DataFrame

from amlora import files
from amlora.errors import InputError
from amlora.evaluate.statistics import Interval, paired_bootstrap
from amlora.records.run import read_folder
from amlora.report.compare import last_decisions, told
from amlora.report.format import MINUS
from amlora.report.format import MISSING as DASH
from amlora.report.pairs import COLUMNS, LEGEND, pairs_sheet, pairs_tables, verdict_of
from paired_runs import change, write_run

OURS = {"a": "1100", "b": "11"}
THEIRS = {"a": "1000", "b": "01"}
HIGHER, LOWER = "higher on these rows and seeds", "lower on these rows and seeds"


def tables_of(folders, against=None, labels=None):
    stored = [read_folder(folder) for folder in folders]
    return pairs_tables(told(stored), last_decisions(stored), against, labels)


def compared(folders, against=None, labels=None):
    """Return the rows of the only table, if there is one, and the notes."""
    tables, notes = tables_of(folders, against, labels)
    assert len(tables) < 2
    return [row for table in tables for row in table.itertuples()], notes


def ends(pair) -> tuple[float, float]:
    return pair.low, pair.high


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [write_run(tmp_path, "own", OURS), write_run(tmp_path, "am_lora", THEIRS)]


def test_a_difference_and_its_interval_are_what_they_are_by_hand(two):
    ((pair,), notes) = compared(two)
    assert (pair.label, pair.method, pair.seeds, notes) == ("own", "own", [0], [])
    # One more hit of 4 rows and one more of 2.
    assert pair.difference == pytest.approx((1 / 4 + 1 / 2) / 2)
    # Both tasks draw no difference with probability .316 x .25 = .079 > .025. A draw lies above .75
    # with probability .013 and at or above it with .067.
    assert ends(pair) == pytest.approx((0, 0.75))
    assert (pair.p, pair.smallest_p, pair.verdict) == (None, None, "not told apart")
    rows = paired_bootstrap([[1, 1, 0, 0], [1, 1]], [[1, 0, 0, 0], [0, 1]], seed=0)
    assert ends(pair) == rows.interval
    # Learned: (.5 + 1) / 2 against (.25 + .5) / 2, and no forgetting.
    assert (pair.learning_accuracy, pair.bwt) == (pytest.approx(0.375), 0)


def test_a_difference_in_every_row_is_told(tmp_path):
    folders = [
        write_run(tmp_path, "own", {"a": "111", "b": "11"}),
        write_run(tmp_path, "am_lora", {"a": "000", "b": "00"}),
    ]
    ((pair,), _) = compared(folders)
    assert (pair.difference, ends(pair), pair.verdict) == (1, (1, 1), HIGHER)
    ((turned,), _) = compared(folders, against="own")
    assert (turned.label, turned.difference, ends(turned)) == ("am_lora", -1, (-1, -1))
    assert turned.verdict == LOWER


def test_rows_are_paired_by_their_ids_whatever_their_order(two, tmp_path):
    turned = write_run(tmp_path / "turned", "own", OURS, reverse=True)
    assert compared([turned, two[1]]) == compared(two)


def test_pairing_counts_which_rows_differ_and_not_how_many_were_hit(tmp_path):
    same = {"a": "1010", "b": "10"}
    folders = [
        *(write_run(tmp_path, method, same) for method in ("am_lora", "copy")),
        write_run(tmp_path, "other", {"a": "0101", "b": "01"}),
    ]
    ((copy, other), _) = compared(folders)
    assert ends(copy) == (0, 0) and other.difference == 0
    assert other.low < -0.3 and other.high > 0.3


def test_more_seeds_of_the_same_answers_do_not_pass_for_more_rows(two, tmp_path):
    more = [
        write_run(tmp_path, method, hits, seed=seed)
        for method, hits in (("own", OURS), ("am_lora", THEIRS))
        for seed in (1, 2, 3)
    ]
    ((one,), _), ((four,), _) = compared(two), compared([*two, *more])
    assert (four.seeds, ends(four)) == ([0, 1, 2, 3], ends(one))


def test_seeds_are_averaged_row_by_row(tmp_path):
    folders = [
        *(write_run(tmp_path, "am_lora", {"a": "00", "b": "00"}, seed=seed) for seed in (0, 1)),
        write_run(tmp_path, "own", {"a": "11", "b": "11"}, seed=0),
        write_run(tmp_path, "own", {"a": "00", "b": "00"}, seed=1),
    ]
    ((pair,), _) = compared(folders)
    assert (pair.difference, ends(pair)) == (0.5, (0.5, 0.5))


def test_only_seeds_that_both_have_are_compared(tmp_path):
    folders = [
        *(write_run(tmp_path, "own", OURS, seed=seed) for seed in (0, 1, 2)),
        *(write_run(tmp_path, "am_lora", OURS, seed=seed) for seed in (1, 2, 3)),
        write_run(tmp_path, "alone", OURS, seed=7),
    ]
    ((pair,), notes) = compared(folders)
    assert (pair.label, pair.seeds, pair.difference) == ("own", [1, 2], 0)
    assert notes == ["small, a, b: alone and am_lora have no seed in common."]


@pytest.mark.parametrize(
    ("seeds", "p", "verdict", "said"),
    [
        (2, 0.5, HIGHER, ["With 2 seeds no p can lie below 0.5, so the test cannot reach 0.05"]),
        (5, 0.0625, HIGHER, ["With 5 seeds no p can lie below 0.062, so the test cannot reach"]),
        (6, 0.03125, "higher", []),
    ],
)
def test_six_seeds_are_the_fewest_that_speak_of_others(tmp_path, seeds, p, verdict, said):
    folders = [
        write_run(tmp_path, method, {"a": hits * 3, "b": hits * 2}, seed=seed)
        for method, hits in (("own", "1"), ("am_lora", "0"))
        for seed in range(seeds)
    ]
    ((table,), _) = tables_of(folders)
    (pair,) = table.itertuples()
    assert (pair.p, pair.smallest_p, pair.verdict) == (pytest.approx(p), p, verdict)
    notes = pairs_sheet(table).notes
    assert len(notes) == len(said)
    assert all(note.startswith(line) for note, line in zip(notes, said, strict=True))


@pytest.mark.parametrize(
    ("interval", "p", "verdict"),
    [
        ((0.01, 0.2), None, HIGHER),
        ((-0.2, -0.01), None, LOWER),
        ((0.01, 0.2), 0.06, HIGHER),
        ((0.01, 0.2), 0.05, "higher"),
        ((0.0, 0.2), 0.01, "not told apart"),
        # What rounding leaves of a sum of shares that is 0.
        ((1e-17, 0.2), 0.01, "not told apart"),
        ((-0.2, -1e-17), 0.01, "not told apart"),
        (None, 0.01, "not told apart"),
    ],
)
def test_a_verdict_needs_an_interval_that_leaves_0_out(interval, p, verdict):
    assert verdict_of(Interval(*interval) if interval else None, p) == verdict


def test_equal_averages_of_other_rows_are_no_difference_over_seeds(tmp_path):
    ours = {"a": "1" * 7 + "000", "b": "11" + "0" * 8}
    theirs = {"a": "1" * 8 + "00", "b": "1" + "0" * 9}  # differs by rounding alone
    folders = [
        write_run(tmp_path, method, hits, seed=seed)
        for method, hits in (("own", ours), ("am_lora", theirs))
        for seed in range(3)
    ]
    ((pair,), _) = compared(folders)
    assert (pair.difference, pair.p) == (0, 1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rows_digest": None}, "own-a7-0 has no rows, so it has no interval."),
        (
            {"R": [[0.0, 0.0], [0.5, None], [0.75, 1.0]]},
            "own-a7-0 has rows that do not give its last scores, so it has no interval.",
        ),
    ],
)
def test_without_rows_that_give_its_scores_a_run_has_no_interval(two, changed, said):
    change(two[0], **changed)
    ((pair,), notes) = compared(two)
    assert pair.difference == pytest.approx(0.375)
    assert (pair.low, pair.verdict, notes) == (None, "not told apart", [f"small, a, b: {said}"])


def test_other_rows_do_not_pair_and_that_is_said(two, tmp_path):
    longer = write_run(tmp_path, "longer", {"a": "11001100", "b": "11"})
    ((pair, own), notes) = compared([*two, longer])
    assert own.low != pair.low and pair.difference == pytest.approx(0.375)
    assert notes == [
        "small, a, b: longer and am_lora were scored on other rows, so they have no interval."
    ]


def test_an_undefined_average_is_not_compared_and_other_metrics_are_left_empty(two):
    change(two[0], metrics={"average": 0.75})
    ((table,), _) = tables_of(two)
    row = pairs_sheet(table).shown.iloc[0]
    assert (row["learning accuracy, points"], row["BWT, points"]) == (DASH, DASH)
    change(two[0], metrics={"average": None})
    said = "small, a, b: own and am_lora have no averages for all their common seeds."
    assert compared(two) == ([], [said])


def test_labels_name_the_lines_and_order_them(tmp_path):
    folders = {
        write_run(tmp_path, "am_lora", THEIRS, label="x"): "paper",
        write_run(tmp_path, "own", OURS): "second",
        write_run(tmp_path, "am_lora", OURS, label="y"): "first",
    }
    labels = {str(folder): label for folder, label in folders.items()}
    (pairs, _) = compared([*folders][::-1], "second", labels)
    assert [pair.label for pair in pairs] == ["paper", "first"]


@pytest.mark.parametrize(
    ("methods", "against", "line"),
    [
        (("own", "other"), None, "no line is am_lora; give --against one of 'other', 'own'."),
        (
            ("am_lora", "am_lora", "own"),
            None,
            "2 lines are am_lora; give --against one of 'run0', 'run1', 'run2'.",
        ),
        (
            ("am_lora", "own", "own"),
            "own",
            "2 lines are own; give --against one of 'run0', 'run1', 'run2'.",
        ),
        (
            ("own", "other"),
            "shared",
            "2 lines are shared; give --against one of 'other', 'own'.",
        ),
        (
            ("own", "other"),
            "owm",
            "no line 'owm' to compare with among 'other', 'own'; did you mean 'own'?",
        ),
    ],
)
def test_an_unclear_reference_is_one_line_with_the_labels(tmp_path, methods, against, line):
    twice = len(set(methods)) < len(methods)
    names = ["run0", "run1", "run2"] if twice else ["shared"] * 2 if against == "shared" else []
    folders = [
        write_run(tmp_path / str(at), method, OURS, name=names[at] if names else "")
        for at, method in enumerate(methods)
    ]
    with pytest.raises(InputError) as refused:
        compared(folders, against)
    assert str(refused.value) == f"small, a, b: {line}"


def test_a_reference_is_found_by_label_then_by_name_then_by_method(tmp_path):
    folders = [
        write_run(tmp_path, "am_lora", THEIRS),
        write_run(tmp_path, "am_lora", OURS, name="gain"),
        write_run(tmp_path, "own", OURS),
    ]
    ((first, second), _) = compared(folders)
    assert (first.against, [first.label, second.label]) == ("am_lora", ["gain", "own"])
    ((other, _), _) = compared(folders, "own")
    assert other.against == "own"


def test_what_has_no_partner_is_left_out_and_named(two, tmp_path):
    alone = write_run(tmp_path, "am_lora", OURS, stream="b8")
    others = [write_run(tmp_path, name, {"c": "1", "d": "0"}, stream="c9") for name in "xy"]
    ((pair,), notes) = compared([*two, alone, *others])
    assert pair.label == "own"
    assert notes == [
        "small, a, b: there is nothing to compare am_lora with.",
        "small, c, d: no line is am_lora; give --against one of 'x', 'y'.",
    ]


def test_streams_are_never_mixed(two, tmp_path):
    others = [
        write_run(tmp_path, method, hits, stream="b8")
        for method, hits in (("own", THEIRS), ("am_lora", OURS))
    ]
    first, second = tables_of([*two, *others])[0]
    assert first["difference"].tolist() == [0.375] and second["difference"].tolist() == [-0.375]
    again = tables_of([*two, *others][::-1])[0]
    assert first.equals(again[0]) and second.equals(again[1])


def test_orders_of_the_same_tasks_are_compared_once_more_together(tmp_path):
    turned = {task: OURS[task] for task in reversed(OURS)}
    behind = {task: THEIRS[task] for task in reversed(THEIRS)}
    folders = [
        *(write_run(tmp_path, "own", OURS, seed=seed) for seed in (0, 1)),
        *(write_run(tmp_path, "am_lora", THEIRS, seed=seed) for seed in (0, 1)),
        write_run(tmp_path, "own", behind, stream="b8"),
        write_run(tmp_path, "am_lora", turned, stream="b8"),
        write_run(tmp_path, "am_lora", turned, stream="b8", seed=2),
        write_run(tmp_path, "third", turned, stream="b8", seed=2),
    ]
    *single, both = tables_of(folders)[0]
    assert [(each["orders"][0], each["seeds"].tolist()) for each in single] == [
        *((1, [[0, 1]]), (1, [[0], [2]])),
    ]
    pair, third = both.itertuples()
    assert (both["orders"][0], pair.seeds, third.seeds) == (2, [0, 1, 0], [2])
    # Better by the same in two runs and worse by it in one; no signs give a mean nearer to 0.
    assert (pair.difference, pair.p) == (pytest.approx(0.375 / 3), 1.0)
    sheet = pairs_sheet(both)
    assert sheet.title == "small: 2 orders of a, b; methods against am_lora"
    assert sheet.shown["seeds"].tolist() == ["0, 1 (3 runs)", "2"]
    assert sheet.notes[0].startswith("With 3 runs no p can lie below 0.25")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"phase": "learned"}\n', "missing"),
        ("not json\n", "not JSON"),
        ('{"phase":"learned","after":0,"task":"a","row":"x","hit":true}\n' * 2, "there twice"),
    ],
)
def test_rows_that_no_run_writes_are_refused(two, text, line):
    rows = two[0] / "rows.jsonl"
    rows.write_text(text)
    change(two[0], rows_digest=files.sha256_file(rows))
    with pytest.raises(InputError, match=f"{two[0].name}.*{line}"):
        compared(two)


def table_with(**changed) -> DataFrame:
    made = {
        **{"model": "small", "tasks": ("sms", "topic"), "stream": "a7", "orders": 1},
        **{"against": "am_lora", "label": "a_b & 5%", "method": "a", "seeds": [0, 1, 2]},
        **{"difference": -0.2, "low": -0.31, "high": -0.05, "p": 0.25, "smallest_p": 0.25},
        **{"verdict": LOWER, "learning_accuracy": -0.02, "bwt": 0.1},
    }
    return DataFrame([made | changed])


def test_a_reader_sees_points_and_what_they_speak_of():
    sheet = pairs_sheet(table_with())
    assert sheet.title == "small: sms, topic; methods against am_lora"
    assert [*sheet.shown] == [*COLUMNS]
    assert sheet.shown.iloc[0].tolist() == [
        *("a_b & 5%", "0, 1, 2", f"{MINUS}20.0", f"({MINUS}31.0, {MINUS}5.0)", "0.25", "0.25"),
        *(LOWER, f"{MINUS}2.0", "+10.0"),
    ]
    said = " ".join(LEGEND)
    for fact in ("says nothing about other seeds", "sign-flip test", "judged by itself", "at most"):
        assert fact in said
