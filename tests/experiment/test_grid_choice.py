"""How a learning rate is chosen: the rule by hand, and the file that keeps the choice."""

import json
import random

import pytest
from msgspec import structs

from amlora import files
from amlora.errors import InputError
from amlora.experiment.grid import Group
from amlora.experiment.grid_choice import (
    RULE,
    Candidate,
    best,
    choice_path,
    choose,
    chosen_rate,
    keep_choice,
    read_choice,
)

PLAIN = {
    "model": {},
    "method": {"name": "sin_lora"},
    "stream": {"name": "quickstart"},
    "train": {},
    "evaluate": {},
}
GROUP = Group(label="one", order="", rates=(1e-4, 1e-3, 1e-2), plain=PLAIN, seed=3)


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


COUNTED = ("steps", "rows", "tokens", "trainable_parameters", "stored_parameters")


def run_of(store, name: str, score: float, losses: list[float]):
    """Write what a choice reads of a candidate's run."""
    folder = store / name
    folder.mkdir(parents=True)
    files.write_text(folder / "rows.jsonl", "")
    settings = {"name": name}
    record = {
        "format": 1,
        "name": name,
        "seed": 3,
        "method": "sin_lora",
        "settings": settings,
        "settings_digest": files.digest(settings),
        "stream_digest": "s",
        "model": {"name": "tiny", "fingerprint": "f"},
        "tasks": [{"name": "sms", "digest": "d", "test": 1, "scored": 1}],
        "R": [[0.0], [score]],
        "stages": [{"task": "sms", "losses": losses} | dict.fromkeys(COUNTED, 1)],
        "metrics": {},
        "rows_digest": files.sha256_file(folder / "rows.jsonl"),
    }
    files.write_sealed(folder / "record.json", record)
    return folder


def test_a_choice_names_its_rule_its_candidates_and_what_they_reached(tmp_path):
    cells = GROUP.candidates()
    outcomes = [
        (cells[0], run_of(tmp_path, "a", 0.6, [9.0, 0.3]), ""),
        (cells[1], run_of(tmp_path, "b", 0.6, [0.1, 0.2]), ""),
        (cells[2], None, "the loss is not finite"),
    ]
    path = choice_path(tmp_path, "grid", GROUP)
    assert chosen_rate(tmp_path, "grid", GROUP) is None
    keep_choice(path, choose("grid", GROUP, outcomes))
    kept = json.loads(path.read_text())
    assert (kept["rate"], kept["rule"], kept["task"], kept["seed"]) == (1e-3, RULE, "sms", 3)
    assert (kept["grid"], kept["label"], kept["method"]) == ("grid", "one", "sin_lora")
    assert [each["score"] for each in kept["candidates"]] == [0.6, 0.6, None]
    assert [each["loss"] for each in kept["candidates"]] == [0.3, 0.2, None]
    assert [each["run"] for each in kept["candidates"]] == ["a", "b", ""]
    assert [each["cell"] for each in kept["candidates"]] == [cell.id for cell in cells]
    assert kept["candidates"][2]["problem"] == "the loss is not finite"
    assert chosen_rate(tmp_path, "grid", GROUP) == 1e-3


def test_equal_records_give_a_choice_of_equal_bytes(tmp_path):
    cells = GROUP.candidates()
    runs = [run_of(tmp_path, f"r{at}", 0.5, [1.0]) for at in range(3)]
    path = choice_path(tmp_path, "grid", GROUP)
    written = []
    for _ in range(2):
        outcomes = [(cell, run, "") for cell, run in zip(cells, runs, strict=True)]
        keep_choice(path, choose("grid", GROUP, outcomes))
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_an_altered_choice_is_refused(tmp_path):
    outcomes = [(GROUP.candidates()[0], run_of(tmp_path, "a", 0.6, [0.3]), "")]
    path = choice_path(tmp_path, "grid", GROUP)
    keep_choice(path, choose("grid", GROUP, outcomes))
    path.write_text(path.read_text().replace('"rate": 0.0001', '"rate": 0.01', 1))
    with pytest.raises(InputError, match="altered"):
        read_choice(path)


def test_other_candidates_are_another_choice(tmp_path):
    other = Group(label="one", order="", rates=(1e-4, 1e-3), plain=PLAIN, seed=3)
    assert choice_path(tmp_path, "grid", other) != choice_path(tmp_path, "grid", GROUP)


def test_a_choice_for_a_long_list_of_tasks_has_a_file_name_that_can_be_written(tmp_path):
    names = [f"task-{number}-of-a-long-list" for number in range(15)]
    group = Group(label="l" * 60, order="-".join(names), rates=GROUP.rates, plain=PLAIN, seed=3)
    path = choice_path(tmp_path, "grid", group)
    outcomes = [(group.candidates()[0], run_of(tmp_path, "a", 0.6, [0.3]), "")]
    outcomes += [(cell, None, "it diverged") for cell in group.candidates()[1:]]
    keep_choice(path, choose("grid", group, outcomes))
    assert read_choice(path) is not None
    assert chosen_rate(tmp_path, "grid", group) == 1e-4


def test_another_groups_choice_and_a_rate_that_does_not_follow_are_refused(tmp_path):
    path = choice_path(tmp_path, "grid", GROUP)
    outcomes = [
        (cell, run_of(tmp_path, str(at), 0.1 * at, [1.0]), "")
        for at, cell in enumerate(GROUP.candidates())
    ]
    choice = choose("grid", GROUP, outcomes)
    keep_choice(path, choice)
    assert chosen_rate(tmp_path, "grid", GROUP) == GROUP.rates[2]
    wrong = structs.replace(choice.candidates[0], run=choice.candidates[1].run)
    keep_choice(path, structs.replace(choice, candidates=(wrong, *choice.candidates[1:])))
    with pytest.raises(InputError, match="1 has another score than it says"):
        chosen_rate(tmp_path, "grid", GROUP)
    keep_choice(path, structs.replace(choice, rate=GROUP.rates[0]))
    with pytest.raises(InputError, match="not the rate that its own candidates give"):
        chosen_rate(tmp_path, "grid", GROUP)
    other = Group(label="one", order="", rates=GROUP.rates, plain=PLAIN, seed=4)
    path.rename(choice_path(tmp_path, "grid", other))
    with pytest.raises(InputError, match="its candidates are not those of one"):
        chosen_rate(tmp_path, "grid", other)


def test_an_altered_record_is_not_chosen_from(tmp_path):
    folder = run_of(tmp_path, "a", 0.6, [0.3])
    text = (folder / "record.json").read_text()
    (folder / "record.json").write_text(text.replace("0.6", "0.9"))
    with pytest.raises(InputError, match=r"record.json: altered"):
        choose("grid", GROUP, [(GROUP.candidates()[0], folder, "")])
