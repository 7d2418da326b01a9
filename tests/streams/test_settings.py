import pytest

from amlora.errors import InputError
from amlora.mixture.route import NONE
from amlora.streams.settings import StreamSettings, TaskSettings

TASK = TaskSettings(name="fruit", source="fruit")


def message(**fields) -> str:
    with pytest.raises(InputError) as caught:
        StreamSettings.of(fields, "stream")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 65, "a/b"])
def test_a_name_that_cannot_be_part_of_a_file_name_is_refused(name):
    assert "name" in message(tasks=[{"name": name, "source": "x"}])


@pytest.mark.parametrize("name", [NONE, "None"])
def test_what_prompts_of_no_task_go_by_is_no_tasks_name(name):
    text = message(tasks=[{"name": name, "source": "x"}])
    assert text == f"stream.tasks[0].name: {name!r} stands for no task at all; use another."


def test_names_are_unique_whatever_their_case():
    text = message(tasks=[TASK, {"name": "Fruit", "source": "x"}])
    assert text == "stream.tasks: 2 tasks are named 'fruit'; names are unique."


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"order": "7"}, "stream.order: '7' is not one of '1', '2', '3', '4', '5', '6', and no"),
        (
            {"order": "yelpp"},
            "stream.order: 'yelpp' is not one of '1', '2', '3', '4', '5', '6', an",
        ),
        ({"order": "amazon, yelpp"}, "stream.order: 'yelpp' is no task of the paper; did you mean"),
        ({"order": "yelp,amazon,"}, "stream.order: '' is no task of the paper; tasks: agnews,"),
        ({"order": "yelp, cb, yelp"}, "stream.order: 'yelp, cb, yelp' has a task twice;"),
        ({"form": "blnd"}, "stream.form: 'blnd' is not one of 'blind', 'full'; did you mean"),
        ({"prefix": "taks"}, "stream.prefix: 'taks' is not one of"),
        ({"dev_from": "test"}, "stream.dev_from: 'test' is not one of 'dev', 'train'."),
        ({"border": 0.6}, "stream.border must be at least 0 and at most 0.5, got 0.6."),
        ({"border": -0.1}, "stream.border must be at least 0 and at most 0.5, got -0.1."),
        ({"train_per_class": 0}, "stream.train_per_class must be at least 1, got 0."),
        ({"test_per_task": -3}, "stream.test_per_task must be at least 1, got -3."),
    ],
)
def test_a_bad_value_is_named_by_its_dotted_path(fields, expected):
    assert message(**fields).startswith(expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "quickstart", "order": "1"},
        {"name": "quickstart", "tasks": (TASK,)},
        {"order": "1", "tasks": (TASK,)},
    ],
)
def test_the_three_ways_to_name_tasks_exclude_each_other(fields):
    assert "only one of" in message(**fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"source": "a", "hub": "b/c"},
            "stream.tasks[1]: only one of source and hub may be given.",
        ),
        ({"source": "a", "revision": "main"}, "stream.tasks[1].revision: 'main' has no meaning"),
        ({"source": "a", "hub_config": "x"}, "stream.tasks[1].hub_config: 'x' has no meaning"),
        ({}, "stream.tasks[1]: no rows; give source, hub, or at least a train file."),
        ({"source": "a", "text": ""}, "stream.tasks[1].text must not be empty."),
        (
            {"source": "a", "options": ("a", "A.")},
            "stream.tasks[1].options: option 'A.' equals 'a'",
        ),
    ],
)
def test_a_task_that_cannot_be_loaded_is_refused_where_it_is_made(fields, expected):
    assert message(tasks=[TASK, {"name": "b", **fields}]).startswith(expected)
