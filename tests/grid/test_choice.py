"""How a learning rate is chosen: the rule by hand, and the file that keeps the choice."""

import json
import random

import pytest

from amlora import files
from amlora.errors import InputError
from amlora.grid.cells import Line
from amlora.grid.choice import RULE, best, choice_path, choose, keep_choice, read_choice
from amlora.records.beside import Candidate
from stored import a_record

PLAIN = {"method": {"name": "sin_lora"}, "stream": {"name": "quickstart"}}
PLAIN |= {"model": {}, "train": {}, "evaluate": {}}
RATES = (1e-4, 1e-3, 1e-2)
LINE = Line(label="one", order="", rates=RATES, plain=PLAIN, seed=3)


def candidate(rate: float, score: float | None, loss: float | None) -> Candidate:
    return Candidate(rate=rate, cell="c", run="r", score=score, loss=loss)


@pytest.mark.parametrize(
    ("outcomes", "rate"),
    [
        ([(1e-4, 0.5, 0.1), (1e-3, 0.7, 0.9), (1e-2, 0.6, 0.1)], 1e-3),  # the highest score
        ([(1e-4, 0.7, 0.4), (1e-3, 0.7, 0.2), (1e-2, 0.6, 0.1)], 1e-3),  # then the lower loss
        ([(1e-2, 0.7, 0.2), (1e-3, 0.7, 0.2), (1e-4, 0.6, 0.1)], 1e-3),  # then the smaller rate
        ([(1e-4, 0.0, 3.0), (1e-3, None, None), (1e-2, 0.0, 2.0)], 1e-2),  # a diverged one loses
    ],
)
def test_the_rule(outcomes, rate):
    candidates = [candidate(*each) for each in outcomes]
    assert best(candidates).rate == rate
    random.Random(0).shuffle(candidates)
    assert best(candidates).rate == rate


def test_nothing_is_chosen_where_all_diverged():
    with pytest.raises(InputError, match="all candidates diverged"):
        best([candidate(1e-3, None, None)])


def write_runs(runs, line: Line, scores, losses=(1.0, 1.0, 1.0)) -> list[str]:
    """Write what a choice reads of candidates' runs; a score of None: it diverged.

    Returns:
        How each diverged.
    """
    for cell, score, loss in zip(line.candidates, scores, losses, strict=True):
        if score is None:
            continue
        folder = runs / cell.name
        folder.mkdir(parents=True)
        files.write_text(folder / "rows.jsonl", "")
        record = a_record(["sms"], [[0.0], [score]]).model_dump(mode="json")
        record["stages"][0]["losses"] = [9.0, loss]
        record["settings_digest"] = files.digest(record["settings"])
        record["rows_digest"] = files.sha256_file(folder / "rows.jsonl")
        files.write_sealed(folder / "record.json", record)
    return ["" if score is not None else "the loss is not finite" for score in scores]


def kept(runs, line: Line, scores, losses=(1.0, 1.0, 1.0)):
    """Write runs, choose among them, and keep the choice; return its path and itself."""
    choice = choose("grid", line, write_runs(runs, line, scores, losses), runs)
    keep_choice(runs, line, choice)
    return choice_path(runs, "grid", line), choice


def test_a_choice_names_its_rule_its_candidates_and_what_they_reached(tmp_path):
    assert read_choice(tmp_path, "grid", LINE) is None
    path, choice = kept(tmp_path, LINE, (0.6, 0.6, None), (0.3, 0.2, 0.0))
    found = json.loads(path.read_text())
    assert (found["rate"], found["rule"], found["task"], found["seed"]) == (1e-3, RULE, "sms", 3)
    assert (found["grid"], found["label"], found["method"]) == ("grid", "one", "own")
    names = [cell.name for cell in LINE.candidates]
    candidates = {
        key: [each[key] for each in found["candidates"]] for key in Candidate.model_fields
    }
    assert candidates == {
        "rate": [*RATES],
        "cell": names,
        "run": [*names[:2], ""],
        "score": [0.6, 0.6, None],
        "loss": [0.3, 0.2, None],
        "problem": ["", "", "the loss is not finite"],
    }
    assert read_choice(tmp_path, "grid", LINE) == choice


def test_equal_records_give_a_choice_of_equal_bytes(tmp_path):
    path, _ = kept(tmp_path, LINE, (0.5, 0.5, 0.5))
    before = path.read_bytes()
    keep_choice(tmp_path, LINE, choose("grid", LINE, ["", "", ""], tmp_path))
    assert path.read_bytes() == before


def test_other_candidates_are_another_choice(tmp_path):
    other = Line(label="one", order="", rates=RATES[:2], plain=PLAIN, seed=3)
    assert choice_path(tmp_path, "grid", other) != choice_path(tmp_path, "grid", LINE)


def test_a_choice_for_a_long_list_of_tasks_has_a_file_name_that_can_be_written(tmp_path):
    order = "-".join(f"task-{number}-of-a-long-list" for number in range(15))
    line = Line(label="l" * 60, order=order, rates=RATES, plain=PLAIN, seed=3)
    _, choice = kept(tmp_path, line, (0.6, None, None))
    assert read_choice(tmp_path, "grid", line) == choice


def test_an_altered_choice_another_lines_and_a_rate_that_does_not_follow_are_refused(tmp_path):
    path, choice = kept(tmp_path, LINE, (0.1, 0.2, 0.3))
    assert choice.rate == RATES[2]
    text = path.read_text()
    path.write_text(text.replace('"rate": 0.01', '"rate": 0.0001', 1))
    with pytest.raises(InputError, match="altered"):
        read_choice(tmp_path, "grid", LINE)
    first, second, third = choice.candidates
    wrong = first.model_copy(update={"run": second.run})
    keep_choice(tmp_path, LINE, choice.model_copy(update={"candidates": (wrong, second, third)}))
    with pytest.raises(InputError, match="has another score than it says"):
        read_choice(tmp_path, "grid", LINE)
    keep_choice(tmp_path, LINE, choice.model_copy(update={"rate": RATES[0]}))
    with pytest.raises(InputError, match="not the rate that its own candidates give"):
        read_choice(tmp_path, "grid", LINE)
    other = Line(label="one", order="", rates=RATES, plain=PLAIN, seed=4)
    path.rename(choice_path(tmp_path, "grid", other))
    with pytest.raises(InputError, match="its candidates are not those of one"):
        read_choice(tmp_path, "grid", other)


def test_an_altered_record_is_not_chosen_from(tmp_path):
    problems = write_runs(tmp_path, LINE, (0.6, None, None))
    path = tmp_path / LINE.candidates[0].name / "record.json"
    path.write_text(path.read_text().replace("0.6", "0.9"))
    with pytest.raises(InputError, match=r"record.json: altered"):
        choose("grid", LINE, problems, tmp_path)
