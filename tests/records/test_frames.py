"""Stored runs as data frames: what the tables hold, and where they refuse."""

from pathlib import Path

import pytest

import amlora
from amlora.errors import InputError
from amlora.records.alike import line_of
from amlora.records.store import read_runs
from figure_records import MATRIX, attention, write_run
from paired_runs import write_run as write_pair


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_run(tmp_path, seed=0, scores=attention(own=0.4))
    write_run(tmp_path, seed=1)
    write_run(tmp_path, seed=0, lr=1e-4)
    write_run(tmp_path, seed=0, stream="b8")
    return tmp_path


def test_a_row_of_runs_has_metrics_and_settings_by_their_dotted_names(store: Path):
    runs = amlora.results(store)
    assert len(runs) == 4 and len(set(runs["run"])) == 4
    assert set(runs["method"]) == {"am_lora"} and set(runs["train.lr"]) == {1e-3, 1e-4}
    assert runs["average"].iloc[0] == pytest.approx(sum(MATRIX[-1]) / 3)
    assert set(runs["seconds"].isna()) == {True}


def test_a_line_is_what_differs_in_nothing_but_the_seed(store: Path):
    lines = amlora.results(store).groupby("line")["seed"].apply(sorted)
    assert sorted(lines) == [[0], [0], [0, 1]]


def test_what_was_scored_besides_does_not_part_lines_and_a_name_does(store: Path):
    record = read_runs([str(store)])[0].record

    def changed(**settings: object) -> str:
        return line_of(record.model_copy(update={"settings": {**record.settings, **settings}}))

    evaluate = record.settings["evaluate"]
    assert changed(evaluate={**evaluate, "scope": "ends"}) == line_of(record)
    assert changed(seed=7) == line_of(record)
    assert changed(name="other") != line_of(record)
    assert changed(evaluate={**evaluate, "split": "dev"}) != line_of(record)


def test_scores_stand_by_stage_and_task(store: Path):
    scores = amlora.results(store, "scores")
    one = scores[scores["run"] == scores["run"].iloc[0]].pivot(
        index="stage", columns="task", values="score"
    )
    assert one.loc[-1].tolist() == list(MATRIX[0]) and one.loc[2].tolist() == list(MATRIX[3])


def test_rows_are_each_decision(tmp_path: Path):
    write_pair(tmp_path, "own", {"a": "110", "b": "10"})
    rows = amlora.results(tmp_path, "rows")
    last = rows[(rows["stage"] == 1) & (rows["phase"] == "learned")]
    assert last.groupby("task")["hit"].apply(list).to_dict() == {
        "a": [True, True, False],
        "b": [True, False],
    }
    assert rows[["stages", "posterior", "distance"]].isna().all(axis=None)  # none has a route


def test_attention_is_a_row_a_lora(store: Path):
    found = amlora.results(store, "attention")
    own = found[found["lora"] == found["task"]]
    assert set(own["score"]) == {0.4} and next(iter(found["lora"])) == "none"
    assert found["run"].nunique() == 1


def test_no_such_table_and_nothing_to_read_are_refused(store: Path, tmp_path: Path):
    with pytest.raises(InputError, match="did you mean 'scores'"):
        amlora.results(store, "score")
    with pytest.raises(InputError, match="no such folder"):
        amlora.results(tmp_path / "nothing")
