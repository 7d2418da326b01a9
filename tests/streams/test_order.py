"""Tasks in an order drawn by `shuffle_seed`, and streams cut to their first tasks."""

from itertools import permutations

import pytest

from amlora.errors import InputError
from amlora.streams.load import load_stream, ordered
from amlora.streams.settings import StreamSettings, TaskSettings


def order(seed: int | None, names: str) -> str:
    settings = StreamSettings(shuffle_seed=seed)
    return "".join(ordered(dict(zip(names, names, strict=True)), settings))


def test_a_seed_draws_one_order_whatever_the_order_given_and_each_is_drawn_by_some_seed():
    assert order(None, "cab") == "cab"
    assert {order(3, "".join(names)) for names in permutations("abcd")} == {order(3, "abcd")}
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
    cut, _ = load_stream(StreamSettings(tasks=tasks, shuffle_seed=5, first_tasks=2))
    assert cut.tasks == drawn.tasks[:2]
    assert cut.digest() != drawn.digest()


def test_tasks_behind_the_first_need_not_even_be_there(write_task):
    tasks = (write_task("a"), TaskSettings(name="later", source="absent"))
    cut, _ = load_stream(StreamSettings(tasks=tasks, first_tasks=1))
    assert [task.name for task in cut.tasks] == ["a"]
    with pytest.raises(InputError, match=r"stream.first_tasks: 2, but there are 1 tasks"):
        load_stream(StreamSettings(tasks=tasks[:1], first_tasks=2))
