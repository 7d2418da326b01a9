"""Tasks in an order drawn by `shuffle_seed`."""

from itertools import permutations

import pytest

from amlora.errors import InputError
from amlora.streams.load import load_stream, ordered
from amlora.streams.settings import StreamSettings


def order(seed: int | None, names: str) -> str:
    settings = StreamSettings(shuffle_seed=seed)
    return "".join(ordered(dict(zip(names, names, strict=True)), settings))


def test_without_a_seed_the_order_is_as_given():
    assert order(None, "cab") == "cab"


def test_a_seed_draws_one_order_whatever_the_order_given():
    assert {order(3, "".join(names)) for names in permutations("abcd")} == {order(3, "abcd")}


def test_every_order_is_drawn_by_some_seed():
    drawn = {order(seed, "abc") for seed in range(60)}
    assert drawn == {"".join(names) for names in permutations("abc")}


def test_a_task_more_leaves_the_others_as_they_are_to_each_other():
    for seed in range(20):
        assert order(seed, "abcde").replace("e", "") == order(seed, "abcd")


def test_a_stream_is_learned_in_the_drawn_order_with_the_same_tasks(write_task):
    tasks = tuple(write_task(name) for name in "abcd")
    plain, _ = load_stream(StreamSettings(tasks=tasks))
    drawn, _ = load_stream(StreamSettings(tasks=tasks, shuffle_seed=5))
    assert "".join(task.name for task in drawn.tasks) == order(5, "abcd") != "abcd"
    assert sorted(drawn.tasks, key=lambda task: task.name) == list(plain.tasks)
    assert drawn.name == "own, shuffled by 5"


def test_the_first_tasks_are_the_first_of_the_drawn_order(write_task):
    tasks = tuple(write_task(name) for name in "abcd")
    cut, _ = load_stream(StreamSettings(tasks=tasks, shuffle_seed=5, first_tasks=2))
    assert "".join(task.name for task in cut.tasks) == order(5, "abcd")[:2]


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match=r"shuffle_seed must be at least 0, got -1"):
        StreamSettings(shuffle_seed=-1)
