"""Settings of texts put together from columns, and of labels exchanged for answers."""

import pytest

from amlora.errors import InputError
from amlora.streams.settings import TaskSettings


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"forms": ("{a",)}, "task.forms: '{a'"),
        ({"forms": ("{a}",), "text": "a"}, "task.forms take the place of text;"),
        ({"forms": ("{a}",), "label": "text"}, "task.forms take the place of text;"),
        (
            {"answers": {"0": "nay"}, "options": ("no", "yes")},
            "task.answers: 'nay', the answer for '0', is not among the options",
        ),
        ({"answers": {"x": "-"}}, "task.answers: '-', the answer for 'x', is empty or only"),
        ({"answers": {"x": ""}}, "task.answers: '', the answer for 'x', is empty or only"),
        ({"most_train": 5}, "task.most_train: 5 has no meaning without hub."),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields, expected):
    with pytest.raises(InputError) as caught:
        TaskSettings.of({"name": "t", "source": "x", **fields}, "task")
    assert str(caught.value).startswith(expected)
