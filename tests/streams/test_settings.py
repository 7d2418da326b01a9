"""Settings of streams: what contradicts itself or cannot be loaded is refused where it stands."""

import pytest

from amlora.mixture.route import NONE
from amlora.streams.settings import StreamSettings, TaskSettings
from refused import refusal

TASK = TaskSettings(name="fruit", source="fruit")


SIX = "is not one of '1', '2', '3', '4', '5', '6', and no"
STREAMS = [
    ({"order": "7"}, f".order: '7' {SIX}"),
    ({"order": "yelpp"}, f".order: 'yelpp' {SIX}"),
    ({"order": "amazon, yelpp"}, ".order: 'yelpp' is no task of the paper; did you mean"),
    ({"order": "yelp,amazon,"}, ".order: '' is no task of the paper; tasks: agnews,"),
    ({"order": "yelp, cb, yelp"}, ".order: 'yelp, cb, yelp' has a task twice;"),
    ({"form": "blnd"}, ".form: 'blnd' is not one of 'blind', 'full'; did you mean"),
    ({"prefix": "taks"}, ".prefix: 'taks' is not one of"),
    ({"dev_from": "test"}, ".dev_from: 'test' is not one of 'dev', 'train'."),
    ({"border": 0.6}, ".border must be at least 0 and at most 0.5, got 0.6."),
    ({"border": -0.1}, ".border must be at least 0 and at most 0.5, got -0.1."),
    ({"train_per_class": 0}, ".train_per_class must be at least 1, got 0."),
    ({"test_per_task": -3}, ".test_per_task must be at least 1, got -3."),
    ({"first_tasks": 0}, ".first_tasks must be at least 1"),
    ({"shuffle_seed": -1}, ".shuffle_seed must be at least 0, got -1"),
    ({"name": "quickstart", "order": "1"}, ": only one of"),
    ({"name": "quickstart", "tasks": (TASK,)}, ": only one of"),
    ({"order": "1", "tasks": (TASK,)}, ": only one of"),
    (
        {"tasks": [TASK, {"name": "Fruit", "source": "x"}]},
        ".tasks: 2 tasks are named 'fruit'; names are unique.",
    ),
]


@pytest.mark.parametrize(("fields", "expected"), STREAMS)
def test_a_stream_that_cannot_be_is_refused_by_its_dotted_path(fields, expected):
    assert refusal(StreamSettings.of, fields, "stream").startswith(f"stream{expected}")


FORMS = ".forms take the place of text;"
TASKS = [
    ({"source": "a", "hub": "b/c"}, ": only one of source and hub may be given."),
    ({"source": "a", "revision": "main"}, ".revision: 'main' has no meaning"),
    ({"source": "a", "hub_config": "x"}, ".hub_config: 'x' has no meaning"),
    ({"source": "a", "most_train": 5}, ".most_train: 5 has no meaning without hub."),
    ({}, ": no rows; give source, hub, or at least a train file."),
    ({"source": "a", "text": ""}, ".text must not be empty."),
    ({"source": "a", "options": ("a", "A.")}, ".options: option 'A.' equals 'a'"),
    ({"source": "x", "forms": ("{a",)}, ".forms: '{a'"),
    ({"source": "x", "forms": ("{a}",), "text": "a"}, FORMS),
    ({"source": "x", "forms": ("{a}",), "label": "text"}, FORMS),
    (
        {"source": "x", "answers": {"0": "nay"}, "options": ("no", "yes")},
        ".answers: 'nay', the answer for '0', is not among the options",
    ),
    ({"source": "x", "answers": {"x": "-"}}, ".answers: '-', the answer for 'x', is empty or only"),
    ({"source": "x", "answers": {"x": ""}}, ".answers: '', the answer for 'x', is empty or only"),
    *(
        ({"source": "x", "name": name}, f".name: {name!r} stands for no task at all; use another.")
        for name in (NONE, "None")
    ),
    *(
        ({"source": "x", "name": name}, ".name")
        for name in ("", "a b", "../x", "-x", "x" * 65, "a/b")
    ),
]


@pytest.mark.parametrize(("fields", "expected"), TASKS)
def test_a_task_that_cannot_be_loaded_is_refused_where_it_is_made(fields, expected):
    said = refusal(StreamSettings.of, {"tasks": [TASK, {"name": "b", **fields}]}, "stream")
    assert said.startswith(f"stream.tasks[1]{expected}")
