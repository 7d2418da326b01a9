"""Methods in pairs: differences, intervals and verdicts by hand, and what cannot be compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from amlora.errors import InputError
from amlora.evaluate.statistics import Interval, paired_bootstrap
from amlora.records.store import read_run
from amlora.report.old_pairs import Pair, pairs_tables, verdict_of
from paired_runs import change, write_run

OURS = {"a": "1100", "b": "11"}
THEIRS = {"a": "1000", "b": "01"}


def compared(
    folders: Sequence[Path], against: str | None = None, labels: Mapping[Path, str] | None = None
) -> tuple[list[Pair], list[str]]:
    """Return the pairs of the only table, if there is one, and the notes."""
    runs = [read_run(folder) for folder in folders]
    tables, notes = pairs_tables(runs, against=against, labels=labels)
    assert len(tables) < 2
    return [pair for table in tables for pair in table.pairs], notes


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [write_run(tmp_path, "own", OURS), write_run(tmp_path, "am_lora", THEIRS)]


def test_a_difference_and_its_interval_are_what_they_are_by_hand(two: list[Path]):
    ((pair,), notes) = compared(two)
    assert (pair.label, pair.method, pair.seeds, notes) == ("own", "own", (0,), [])
    # One more hit of 4 rows and one more of 2.
    assert pair.difference == pytest.approx((1 / 4 + 1 / 2) / 2)
    # Both tasks draw no difference with probability .316 x .25 = .079 > .025. A draw lies above .75
    # with probability .013 and at or above it with .067.
    assert pair.interval == pytest.approx((0, 0.75))
    assert (pair.p, pair.smallest_p, pair.verdict) == (None, None, "not told apart")
    rows = paired_bootstrap([[1, 1, 0, 0], [1, 1]], [[1, 0, 0, 0], [0, 1]], seed=0)
    assert pair.interval == rows.interval


def test_a_difference_in_every_row_is_told(tmp_path: Path):
    folders = [
        write_run(tmp_path, "own", {"a": "111", "b": "11"}),
        write_run(tmp_path, "am_lora", {"a": "000", "b": "00"}),
    ]
    ((pair,), _) = compared(folders)
    assert (pair.difference, pair.interval) == (1, (1, 1))
    assert pair.verdict == "higher on these rows and seeds"
    ((turned,), _) = compared(folders, against="own")
    assert (turned.label, turned.difference, turned.interval) == ("am_lora", -1, (-1, -1))
    assert turned.verdict == "lower on these rows and seeds"


def test_rows_are_paired_by_their_ids_whatever_their_order(two: list[Path], tmp_path: Path):
    turned = write_run(tmp_path / "turned", "own", OURS, reverse=True)
    assert compared([turned, two[1]]) == compared(two)


def test_pairing_counts_which_rows_differ_and_not_how_many_were_hit(tmp_path: Path):
    same = {"a": "1010", "b": "10"}
    folders = [
        write_run(tmp_path, "am_lora", same),
        write_run(tmp_path, "copy", same),
        write_run(tmp_path, "other", {"a": "0101", "b": "01"}),
    ]
    ((copy, other), _) = compared(folders)
    assert copy.interval == (0, 0)
    assert other.difference == 0
    assert other.interval is not None and other.interval.low < -0.3 and other.interval.high > 0.3


def test_more_seeds_of_the_same_answers_do_not_pass_for_more_rows(two: list[Path], tmp_path: Path):
    more = [
        write_run(tmp_path, method, hits, seed=seed)
        for method, hits in (("own", OURS), ("am_lora", THEIRS))
        for seed in (1, 2, 3)
    ]
    ((one,), _), ((four,), _) = compared(two), compared([*two, *more])
    assert (four.seeds, four.interval) == ((0, 1, 2, 3), one.interval)


def test_seeds_are_averaged_row_by_row(tmp_path: Path):
    folders = [
        *(write_run(tmp_path, "am_lora", {"a": "00", "b": "00"}, seed=seed) for seed in (0, 1)),
        write_run(tmp_path, "own", {"a": "11", "b": "11"}, seed=0),
        write_run(tmp_path, "own", {"a": "00", "b": "00"}, seed=1),
    ]
    ((pair,), _) = compared(folders)
    assert (pair.difference, pair.interval) == (0.5, (0.5, 0.5))


def test_only_seeds_that_both_have_are_compared(tmp_path: Path):
    folders = [
        *(write_run(tmp_path, "own", OURS, seed=seed) for seed in (0, 1, 2)),
        *(write_run(tmp_path, "am_lora", OURS, seed=seed) for seed in (1, 2, 3)),
        write_run(tmp_path, "alone", OURS, seed=7),
    ]
    ((pair,), notes) = compared(folders)
    assert (pair.label, pair.seeds, pair.difference) == ("own", (1, 2), 0)
    assert notes == ["small, a, b: alone and am_lora have no seed in common."]


@pytest.mark.parametrize(
    ("seeds", "p", "verdict"),
    [
        (2, 0.5, "higher on these rows and seeds"),
        (3, 0.25, "higher on these rows and seeds"),
        (5, 0.0625, "higher on these rows and seeds"),
        (6, 0.03125, "higher"),
    ],
)
def test_six_seeds_are_the_fewest_that_speak_of_others(tmp_path: Path, seeds, p, verdict):
    folders = [
        write_run(tmp_path, method, {"a": hits * 3, "b": hits * 2}, seed=seed)
        for method, hits in (("own", "1"), ("am_lora", "0"))
        for seed in range(seeds)
    ]
    ((pair,), _) = compared(folders)
    assert (pair.p, pair.smallest_p) == (pytest.approx(p), p)
    assert pair.verdict == verdict


@pytest.mark.parametrize(
    ("interval", "p", "verdict"),
    [
        ((0.01, 0.2), None, "higher on these rows and seeds"),
        ((-0.2, -0.01), None, "lower on these rows and seeds"),
        ((0.01, 0.2), 0.06, "higher on these rows and seeds"),
        ((0.01, 0.2), 0.05, "higher"),
        ((-0.2, -0.01), 0.05, "lower"),
        ((-0.01, 0.2), 0.01, "not told apart"),
        ((0.0, 0.2), 0.01, "not told apart"),
        ((-0.2, 0.0), 0.01, "not told apart"),
        # What rounding leaves of a sum of shares that is 0.
        ((1e-17, 0.2), 0.01, "not told apart"),
        ((-0.2, -1e-17), 0.01, "not told apart"),
        (None, 0.01, "not told apart"),
    ],
)
def test_a_verdict_claims_no_more_than_is_shown(interval, p, verdict):
    assert verdict_of(None if interval is None else Interval(*interval), p) == verdict


def test_equal_averages_of_other_rows_are_no_difference_over_seeds(tmp_path: Path):
    ours, theirs = (
        {"a": "1" * 7 + "000", "b": "11" + "0" * 8},
        {"a": "1" * 8 + "00", "b": "1" + "0" * 9},
    )
    folders = [
        write_run(tmp_path, method, hits, seed=seed)
        for method, hits in (("own", ours), ("am_lora", theirs))
        for seed in range(3)
    ]
    first, *_, last = (read_run(folder).record.metrics.average for folder in folders)
    assert first != last  # they differ by rounding alone
    ((pair,), _) = compared(folders)
    assert (pair.p, pair.difference) == (1, 0)


def test_learning_accuracy_and_transfer_are_differences_of_means(tmp_path: Path):
    folders = [
        write_run(tmp_path, "own", OURS, first="1111"),
        write_run(tmp_path, "own", OURS, first="1100", seed=1),
        *(write_run(tmp_path, "am_lora", THEIRS, first="1100", seed=seed) for seed in (0, 1)),
    ]
    ((pair,), _) = compared(folders)
    # Learned: (1 + 1) / 2 and (.5 + 1) / 2, against (.5 + .5) / 2. BWT: -.5 and 0, against -.25.
    assert pair.learning_accuracy == pytest.approx((1 + 0.75) / 2 - 0.5)
    assert pair.bwt == pytest.approx((-0.5 + 0) / 2 + 0.25)


def test_without_rows_there_is_a_difference_and_a_note(two: list[Path]):
    change(two[0], rows_digest=None)
    ((pair,), notes) = compared(two)
    assert pair.difference == pytest.approx(0.375)
    assert (pair.interval, pair.verdict) == (None, "not told apart")
    assert notes == ["small, a, b: own-a7-0 has no rows.jsonl, so it has no interval."]


def test_other_rows_do_not_pair_and_that_is_said(two: list[Path], tmp_path: Path):
    longer = write_run(tmp_path, "longer", {"a": "11001100", "b": "11"})
    ((longer_pair, own), notes) = compared([*two, longer])
    assert longer_pair.interval is None and longer_pair.difference == pytest.approx(0.375)
    assert own.interval is not None
    assert notes == [
        "small, a, b: longer and am_lora were scored on other rows, so they have no interval."
    ]


def test_rows_that_are_not_the_scores_of_their_record_give_no_interval(two: list[Path]):
    change(two[0], R=[[0.0, 0.0], [0.5, None], [0.75, 1.0]])
    ((pair,), notes) = compared(two)
    assert pair.interval is None
    assert notes == [
        "small, a, b: own-a7-0 has rows that do not give its last scores, so it has no interval."
    ]


def test_an_undefined_average_is_not_compared(two: list[Path]):
    change(two[0], metrics={"average": None})
    assert compared(two) == (
        [],
        ["small, a, b: own and am_lora have no averages for all their common seeds."],
    )


def test_metrics_that_a_method_does_not_have_are_left_empty(two: list[Path]):
    change(two[0], metrics={"average": 0.75})
    ((pair,), _) = compared(two)
    assert (pair.learning_accuracy, pair.bwt) == (None, None)


def test_labels_name_the_lines_and_order_them(tmp_path: Path):
    folders = {
        write_run(tmp_path, "am_lora", THEIRS, label="x"): "paper",
        write_run(tmp_path, "own", OURS): "second",
        write_run(tmp_path, "am_lora", OURS, label="y"): "first",
    }
    (pairs, _) = compared(list(folders)[::-1], "second", folders)
    assert [pair.label for pair in pairs] == ["paper", "first"]


@pytest.mark.parametrize(
    ("methods", "against", "line"),
    [
        (("own", "other"), None, "no line is am_lora; name one to compare with, among other, own."),
        (
            ("am_lora", "am_lora", "own"),
            None,
            "2 lines are am_lora; name one to compare with, among run0, run1, run2.",
        ),
        (
            ("own", "other"),
            "owm",
            "no line 'owm' to compare with among other, own; did you mean 'own'?",
        ),
    ],
)
def test_an_unclear_reference_is_one_line_with_the_labels(tmp_path: Path, methods, against, line):
    twice = len(set(methods)) < len(methods)
    folders = [
        write_run(tmp_path, method, OURS, name=f"run{at}" if twice else "")
        for at, method in enumerate(methods)
    ]
    with pytest.raises(InputError) as refused:
        compared(folders, against)
    assert str(refused.value) == f"small, a, b: {line}"


def test_a_stream_without_the_reference_is_left_out_and_named(two: list[Path], tmp_path: Path):
    others = [
        write_run(tmp_path, method, {"c": "11", "d": "10"}, stream="b8")
        for method in ("own", "other")
    ]
    ((pair,), notes) = compared([*two, *others])
    assert pair.label == "own"
    assert notes == ["small, c, d: no line is am_lora; name one to compare with, among other, own."]


def test_a_line_alone_is_not_compared(two: list[Path], tmp_path: Path):
    alone = write_run(tmp_path, "am_lora", OURS, stream="b8")
    assert compared([alone]) == ([], ["small, a, b: there is nothing to compare am_lora with."])
    ((pair,), _) = compared([*two, alone])
    assert pair.label == "own"


def test_streams_are_never_mixed(two: list[Path], tmp_path: Path):
    others = [
        write_run(tmp_path, method, hits, stream="b8")
        for method, hits in (("own", THEIRS), ("am_lora", OURS))
    ]
    runs = [read_run(folder) for folder in (*two, *others)]
    first, second = pairs_tables(runs, against=None)[0]
    assert (first.stream_digest, second.stream_digest) == ("a7" * 32, "b8" * 32)
    assert first.pairs[0].difference == -second.pairs[0].difference == pytest.approx(0.375)
    assert pairs_tables(runs[::-1], against=None)[0] == [first, second]


def test_orders_of_the_same_tasks_are_compared_once_more_together(tmp_path: Path):
    turned = {task: OURS[task] for task in reversed(OURS)}
    behind = {task: THEIRS[task] for task in reversed(THEIRS)}
    folders = [
        *(write_run(tmp_path, "own", OURS, seed=seed) for seed in (0, 1)),
        *(write_run(tmp_path, "am_lora", THEIRS, seed=seed) for seed in (0, 1)),
        write_run(tmp_path, "own", behind, stream="b8"),
        write_run(tmp_path, "am_lora", turned, stream="b8"),
        write_run(tmp_path, "am_lora", turned, stream="b8", seed=2),
    ]
    runs = [read_run(folder) for folder in folders]
    *single, both = pairs_tables(runs, against=None)[0]
    assert [(table.orders, table.pairs[0].seeds) for table in single] == [(1, (0, 1)), (1, (0,))]
    (pair,) = both.pairs
    assert (both.orders, pair.seeds) == (2, (0, 1, 0))
    # Better by the same in two runs and worse by it in one.
    assert pair.difference == pytest.approx(0.375 / 3)
    # No choice of signs gives a mean nearer to 0.
    assert (pair.p, pair.smallest_p) == (1.0, 0.25)


def test_lines_that_only_one_order_has_are_compared_there_alone(tmp_path: Path):
    turned = {task: OURS[task] for task in reversed(OURS)}
    folders = [
        write_run(tmp_path, "own", OURS),
        *(write_run(tmp_path, method, THEIRS) for method in ("am_lora", "third")),
        *(write_run(tmp_path, method, turned, stream="b8") for method in ("am_lora", "third")),
    ]
    *_, both = pairs_tables([read_run(folder) for folder in folders], against=None)[0]
    assert [(pair.label, len(pair.seeds)) for pair in both.pairs] == [("own", 1), ("third", 2)]


def test_altered_rows_are_refused_and_named(two: list[Path]):
    rows = two[0] / "rows.jsonl"
    rows.write_text(rows.read_text().replace("true", "false", 1))
    with pytest.raises(InputError) as refused:
        compared(two)
    assert str(refused.value) == f"{rows}: altered; its sha256 is not the one in record.json."
