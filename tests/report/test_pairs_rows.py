"""The decisions of a run's last stage: which rows count, and what is refused."""

from pathlib import Path

import pytest

from amlora import files
from amlora.errors import InputError
from amlora.records.store import read_run
from amlora.report.rows import gives_scores, last_hits, paired_rows
from paired_runs import change, write_run

HITS = {"a": "110", "b": "10"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path, "own", HITS, first="111")


def test_only_the_last_stage_counts_and_only_once_it_was_learned(folder: Path):
    assert last_hits(read_run(folder)) == {
        "a": {"test:0": True, "test:1": True, "test:2": False},
        "b": {"test:0": True, "test:1": False},
    }


def test_rows_that_are_not_there_are_none(folder: Path):
    change(folder, rows_digest=None)
    assert last_hits(read_run(folder)) is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"phase": "learned"}\n', "after is missing"),
        ("not json\n", "not JSON"),
        ('{"phase":"learned","after":0,"task":"a","row":"x","hit":true}\n' * 2, "there twice"),
    ],
)
def test_what_no_run_writes_is_one_line_with_the_file(folder: Path, text: str, line: str):
    rows = folder / "rows.jsonl"
    rows.write_text(text)
    change(folder, rows_digest=files.sha256_file(rows))
    with pytest.raises(InputError, match=rf"rows\.jsonl: .*{line}"):
        last_hits(read_run(folder))


def test_scores_are_compared_task_by_task(folder: Path):
    run = read_run(folder)
    hits = last_hits(run)
    assert hits is not None and gives_scores(hits, run)
    assert not gives_scores({"a": hits["a"]}, run)
    assert not gives_scores(hits | {"b": {"test:0": True, "test:1": True}}, run)
    assert not gives_scores({}, run)


def test_shares_over_seeds_stand_in_one_order_on_both_sides():
    first = (
        {"b": {"y": True, "x": False}, "a": {"z": True}},
        {"a": {"z": False}, "b": {"x": True, "y": True}},
    )
    second = (
        {"a": {"z": True}, "b": {"x": True, "y": True}},
        {"a": {"z": False}, "b": {"y": False, "x": True}},
    )
    assert paired_rows([first, second]) == ([[1], [0.5, 1]], [[0], [1, 0.5]])


@pytest.mark.parametrize("other", [{"a": {"y": True}}, {"b": {"x": True}}, {}])
def test_other_rows_do_not_pair(other):
    ours = {"a": {"x": True}}
    assert paired_rows([(ours, ours)]) == ([[1]], [[1]])
    assert paired_rows([(ours, other)]) is None
    assert paired_rows([(ours, ours), (other, other)]) is None
