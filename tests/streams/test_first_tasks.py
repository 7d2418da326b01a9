"""A stream cut to its first tasks, as grids do to choose a learning rate."""

import pytest

from amlora.errors import InputError
from amlora.streams.load import load_stream
from amlora.streams.settings import StreamSettings


def test_only_the_first_tasks_are_loaded_and_are_those_of_the_whole_stream(write_task):
    tasks = (write_task("a"), write_task("b"), write_task("c"))
    whole, _ = load_stream(StreamSettings(tasks=tasks))
    cut, _ = load_stream(StreamSettings(tasks=tasks, first_tasks=2))
    assert cut.tasks == whole.tasks[:2]
    assert cut.digest() != whole.digest()


def test_tasks_behind_them_need_not_even_be_there(write_task):
    from amlora.streams.settings import TaskSettings

    absent = TaskSettings(name="later", source="absent")
    cut, _ = load_stream(StreamSettings(tasks=(write_task("a"), absent), first_tasks=1))
    assert [task.name for task in cut.tasks] == ["a"]


def test_more_than_there_are_is_refused(write_task):
    with pytest.raises(InputError, match=r"stream.first_tasks: 2, but there are 1 tasks"):
        load_stream(StreamSettings(tasks=(write_task("a"),), first_tasks=2))


def test_none_at_all_is_refused():
    with pytest.raises(InputError, match=r"first_tasks must be at least 1"):
        StreamSettings(first_tasks=0)
