"""Text from data as it may be shown: what would act on a terminal or a page is spelled out."""

import json

import pytest

from amlora.errors import shortened
from amlora.printable import aligned, json_text, one_line, printable, width


def test_json_is_of_letters_that_do_nothing_and_says_the_same():
    value = [{"label": "\x7f\x9b\u202e\udcff\x1bé"}]
    text = json_text(value)
    assert text.isascii() and "\x7f" not in text
    assert json.loads(text) == value


def test_text_of_people_stays_as_it_is():
    texts = ["Grüße, 中文", "نص", "👩‍👩‍👧", "a\tb\nc", "می‌خواهم", "\\u001b"]
    assert [printable(text) for text in texts] == texts


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\r", "\x7f", "\x9b", "\u2028", "\U000e0041"])
def test_what_acts_is_spelled_as_json_spells_it(letter):
    assert printable(letter).startswith("\\")
    assert printable(letter).isascii()
    if letter < "\U00010000":
        assert json.loads(f'"{printable(letter)}"') == letter


def test_one_line_has_neither_tab_nor_line_end():
    assert one_line("a\tb\nc") == "a\\tb\\nc"


def test_columns_are_aligned_by_what_letters_take_on_a_terminal():
    assert width("中文") == 4 and width("e\u0301") == 1
    lines = aligned([("中文", "1"), ("abcd", "22"), ("e\u0301", "3")], right={1}).splitlines()
    assert lines == ["中文   1", "abcd  22", "e\u0301      3"]


def test_a_long_line_keeps_its_ends():
    text = shortened("what: " + "x" * 10**6 + " is not allowed.")
    assert len(text) < 2100
    assert text.startswith("what: x") and text.endswith("x is not allowed.")


def test_json_has_no_word_for_infinity():
    with pytest.raises(ValueError):
        json_text(float("inf"))
