"""Which runs share a line, what lines are called, and which stand side by side."""

import re
from typing import Any

import pytest

from amlora.errors import InputError
from amlora.records.beside import Candidate, Choice
from amlora.report.compare import (
    comparable,
    interval_of,
    lines_of,
    pooled,
    row_interval,
    told,
    with_choices,
)

from .conftest import AM_LORA, JOINT, SIN_LORA, group_of, record, record_of, runs_of, stored


def labels(group):
    return [(line["label"].iloc[0], line["seed"].tolist()) for line in lines_of(group)]


def test_seeds_of_one_method_share_a_line_and_other_settings_do_not():
    seeds = [record("a", AM_LORA, seed=seed) for seed in (2, 0, 1)]
    group = group_of(*seeds, record("b", AM_LORA, seed=1, lr=1e-4))
    assert labels(group) == [("a", [0, 1, 2]), ("b", [1])]


def test_a_line_is_named_by_what_tells_it_from_the_others():
    full, lora = (record(name, AM_LORA, method="replay") for name in ("full", "lora"))
    assert labels(group_of(full)) == [("replay", [0])]
    assert labels(group_of(full, lora)) == [("full", [0]), ("lora", [0])]
    both = [record("x", AM_LORA, method=method) for method in ("replay", "own")]
    both += [record("y", AM_LORA, method="own", lr=1e-4)]
    assert [label for label, _ in labels(group_of(*both))] == ["x, own", "x, replay", "y, own"]
    same = group_of(record("x", AM_LORA), record("x", SIN_LORA, lr=1e-4))
    names = [label for label, _ in labels(same)]
    assert len({*names}) == 2 and all(re.fullmatch(r"x, x [0-9a-f]{8}", name) for name in names)


def test_versions_of_a_method_are_lines_of_their_own_and_named():
    new = record("own", AM_LORA, seed=1) | {"method_version": 2}
    group = group_of(record("own", AM_LORA), new, record("am_lora", AM_LORA))
    wanted = [("am_lora", [0]), ("own, version 1", [0]), ("own, version 2", [1])]
    assert labels(group) == wanted


def test_what_was_scored_besides_what_both_have_does_not_split_a_line():
    made = [record("a", AM_LORA, seed=seed) for seed in (0, 1)]
    for each, scope in zip(made, ("needed", "learned"), strict=True):
        each["settings"]["evaluate"] = {"scope": scope}
    assert labels(group_of(*made)) == [("a", [0, 1])]


def test_other_tasks_or_another_model_are_another_table_in_an_order_of_their_own():
    other, third = (record("a", AM_LORA, seed=seed) for seed in (1, 2))
    other["stream_digest"] = "b8" * 32
    third["model"]["fingerprint"] = "00" * 32
    made = [record("a", AM_LORA), other, third]
    for each in (made, made[::-1]):
        assert [labels(group) for group in comparable(runs_of(*each))] == [
            *([("a", [2])], [("a", [0])], [("a", [1])]),
        ]


def test_a_seed_that_is_given_twice_is_refused_with_both_folders():
    again: dict[str, Any] = {**record("a", AM_LORA), "name": "again"}
    again["settings"] = {**again["settings"], "name": "a"}
    with pytest.raises(InputError, match=r"^runs/again-.*: the same run as runs/a-.*; give one of"):
        comparable(runs_of(record("a", AM_LORA), again))


def test_labels_of_a_grid_name_the_lines_and_order_them():
    runs = runs_of(record("b", AM_LORA), record("a", SIN_LORA))
    first, second = runs["run"]
    (group,) = comparable(runs, {second: "z", first: "c"})
    assert labels(group) == [("z", [0]), ("c", [0])]


def test_orders_of_the_same_tasks_are_put_together_line_by_line():
    abcd = ("a", "b", "c", "d")
    orders = {"1": abcd, "2": abcd[::-1], "3": (*abcd[:3], "e")}
    made = []
    for order, names in orders.items():
        for method in ("own", "am_lora"):
            each = record_of(method, AM_LORA, tasks=names)
            tasks = [{**task, "digest": task["name"]} for task in each["tasks"]]
            made.append({**each, "stream_digest": order * 64, "tasks": tasks})
    (both,) = pooled(comparable(runs_of(*made)))
    assert labels(both) == [("am_lora", [0, 0]), ("own", [0, 0])]
    assert both["stream"].str[0].tolist() == ["1", "2", "1", "2"]
    assert pooled(comparable(runs_of(*made[:2]))) == []
    # Two streams of one order, as of other rows, are no two orders.
    same = [each | {"stream_digest": "9" * 64} for each in made[:2]]
    assert pooled(comparable(runs_of(*made[:2], *same))) == []


def test_an_interval_over_rows_needs_every_score():
    assert row_interval((0.5, None), (60, 60)) is None
    low, high = row_interval((0.5, 1.0), (60, 60)) or (0, 0)
    assert 65 < low < 75 < high < 85
    undefined = interval_of(group_of(record("mtl", JOINT)), "bwt")
    assert undefined == {"bwt_low": None, "bwt_high": None, "bwt_interval": ""}


def choice(**changed):
    rates = {"rate": 1e-3, "candidates": [{"rate": 3e-4, "score": 0.5}, {"rate": 1e-3}]}
    said = {"grid": "g", "rule": "the highest score on dev rows", "task": "first"}
    of = {"label": "own", "method": "own", "task_digest": "d1" * 32, "model": "f0" * 32}
    made = {**rates, **said, **of, **changed}
    made["candidates"] = tuple(Candidate(**each) for each in made["candidates"])
    return Choice(**made)


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
def test_a_rate_has_the_candidates_of_the_choice_that_it_follows(changed, candidates):
    runs = with_choices(runs_of(record("own", AM_LORA)), [choice(**changed)])
    assert runs["candidates"].tolist() == [candidates]


def test_a_folder_whose_name_is_no_text_can_be_compared():
    run = stored(record("own", AM_LORA))
    odd = type(run)(**{**vars(run), "path": run.path / "\udcff\x1b"})
    assert told([odd])["run"][0].endswith("\\udcff\\u001b")
