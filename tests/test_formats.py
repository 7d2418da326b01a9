"""The only parsers: whatever is wrong with a text is one line that names its place."""

import re
import time
import tracemalloc

import pytest

from amlora.formats import NotTOML, parse_json, parse_lines, parse_toml, typed
from refused import refusal

DEEP = 100_000
LONG = "9" * 5000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * DEEP + "]" * DEEP, "nested more than 100 levels"),
        ("[" * 500 + "]" * 500, "nested more than 100 levels"),
        (LONG, "a number of thousands of digits"),
        ("NaN", "NaN is not a finite number"),
        ('{"a": -Infinity}', "-Infinity is not a finite number"),
        ("[1e999]", "1e999 is not a finite number"),
        (r'"\ud800"', "half a character"),
        (r'{"\uDFFF": 1}', "half a character"),
        ('{"a": {"b": 1, "b": 2}}', "'b' is there twice in one object"),
        ('{"a": 1,}', "not JSON: .* at column 9"),
        ('{"a": 1,\n\n}', "line 3: not JSON"),
        ("", "not JSON"),
        (b"\xff", "not UTF-8 at byte 0"),
        ("\udcff", "half a character"),  # how Python holds a byte of an argument that is no text
    ],
    ids=lambda value: str(value)[:12].encode("ascii", "replace").decode(),
)
def test_what_is_no_usable_json_is_one_line(text, message):
    said = refusal(parse_json, "a.json", text)
    assert re.match(f"a.json: .*{message}", said) and len(said) < 200


def test_what_is_usable_json_is_what_it_says():
    assert parse_json("a", r'{"a": [1, 2.5, null, "\ud83d\ude00é\u0000"]}') == {
        "a": [1, 2.5, None, "😀é\0"]
    }
    assert parse_json("a", "[" * 100 + "]" * 100)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * DEEP + "]" * DEEP, "nested more than 100 levels"),
        ("a = " + "[" * 150 + "]" * 150, "nested more than 100 levels"),
        (".".join("a" * DEEP) + " = 1", "nested more than 100 levels"),
        ("[" + " . ".join(['"a"'] * DEEP) + "]", "nested more than 100 levels"),
        (f"seed = {LONG}", "a number of thousands of digits"),
        ("seed = 0x" + "f" * 10_000, "an integer of more than 64 bits"),
        ("seed = [18446744073709551616]", "an integer of more than 64 bits"),
        (r'name = "a\u0000b"', "'a.x00b' holds a null character"),
        ("a = 1\nb = ", "line 2: not TOML"),
        (r'a = "\ud800"', "line 1: not TOML"),
        (b"a = '\xff'", "not UTF-8 at byte 5"),
        ('a = "\udcff"', "half a character"),
    ],
    ids=lambda value: str(value)[:12].encode("ascii", "replace").decode(),
)
def test_what_is_no_usable_toml_is_one_line(text, message):
    said = refusal(parse_toml, "a.toml", text)
    assert re.match(f"a.toml: .*{message}", said) and len(said) < 200


def test_what_is_usable_toml_is_what_it_says_with_a_byte_order_mark_too():
    words = ". ".join(["it is a text"] * 200)
    expected = {"a": {"b": [9223372036854775807, words, "w.w." * 40]}}
    text = f'[a]\nb = [9223372036854775807, "{words}", "{"w.w." * 40}"]\n'
    assert parse_toml("a", text) == parse_toml("a", b"\xef\xbb\xbf" + text.encode()) == expected
    with pytest.raises(NotTOML):
        parse_toml("a", "value = some words")


@pytest.mark.parametrize("word", ["a", "'", '"', ".", "a.", "-", "a-.", " ."])
def test_the_search_for_deep_keys_takes_time_by_the_length(word):
    started = time.perf_counter()
    refusal(parse_toml, "a", word * (200_000 // len(word)))
    assert time.perf_counter() - started < 5


def test_deep_keys_fill_no_memory():
    tracemalloc.start()
    refusal(parse_toml, "a", ".".join("a" * 20_000) + " = 1")
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_a_value_of_another_kind_is_named_with_its_place():
    said = refusal(typed, "m.json", {"a": 7}, dict[str, str])
    assert said == "m.json: a: expected a string, got 7."
    assert refusal(typed, "m.json", 10**400, float).startswith("m.json: ")


def test_lines_are_named_by_their_number():
    assert parse_lines("a", b'{"x": 1}\n\n{"x": 2}\n', dict[str, int]) == [{"x": 1}, {"x": 2}]
    said = refusal(parse_lines, "a", b'{"x": 1}\n\n{"x": "2"}\n', dict[str, int])
    assert said == "a: line 3: x: expected an integer, got '2'."
