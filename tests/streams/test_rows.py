"""Text and label of a record: what is taken, and what is refused."""

import pytest

from amlora.errors import InputError
from amlora.streams.rows import RawRow, to_examples, to_label


def test_half_a_character_is_refused_in_text_and_label():
    for values, where in (
        ({"text": "ab\ud83d", "label": "x"}, "a.json: line 2: text holds '\\ud83d', half of a"),
        ({"text": "a", "label": "\udc00"}, "a.json: line 2: label holds '\\udc00', half of a"),
    ):
        with pytest.raises(InputError) as caught:
            to_examples(
                [RawRow("a.json: line 2", dict[str, object](values))],
                "train",
                ("text", "label"),
                "task",
            )
        assert str(caught.value).startswith(where)
        str(caught.value).encode()


@pytest.mark.parametrize(
    ("value", "known", "expected"),
    [
        (True, (), "True"),
        (True, ("true", "false"), "true"),
        (False, ("True", "False"), "False"),
        ("True", ("true", "false"), "True"),
        (1, ("1",), "1"),
        (None, (), ""),
    ],
)
def test_true_and_false_are_written_as_the_known_labels_are(value, known, expected):
    assert to_label(value, "a.json: line 1", "label", known) == expected
