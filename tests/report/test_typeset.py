"""Cells that a spreadsheet, a page, a terminal or LaTeX would take for its own."""

import csv
import io
import json

import pytest

from amlora.printable import aligned, json_text, one_line, printable, shortened, width
from amlora.report.typeset import Sheet, comma_separated, plain_json, typeset


def sheet(*labels: str) -> Sheet:
    return Sheet(
        heading=f"tasks of {labels[0]}",
        columns=("method", "average"),
        rows=[(label, "1.5") for label in labels],
        remarks=(f"about {labels[0]}",),
    )


@pytest.mark.parametrize("label", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_of_csv_is_a_formula(label):
    (row,) = csv.DictReader(io.StringIO(comma_separated([{"label": label, "tasks": [label, "b"]}])))
    assert row["label"].startswith("'") and row["tasks"].startswith("'")
    (heading, _) = csv.reader(io.StringIO(comma_separated([{label: "a"}])))
    assert heading[0].startswith("'")


def test_numbers_in_csv_stay_numbers():
    values = {"bwt": -0.25, "exact": -1e-05, "seeds": [0, 1], "changes": [-1.5, 2], "none": None}
    text = comma_separated([values | {"label": "a-1", "answer": "it's"}])
    assert text.splitlines()[1] == "-0.25,-1e-05,0 1,-1.5 2,,a-1,it's"


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("a|b", r"a\|b"),
        ("*a*", r"\*a\*"),
        ("_a_ b_c", r"\_a\_ b_c"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[a](http://evil)", r"[a\](http://evil)"),
        ("[1, 2]", "[1, 2]"),
        ("`a`", r"\`a\`"),
        ("$x$", r"\$x\$"),
        ("a\nb", "a b"),
        ("&lt;", r"\&lt;"),
        ("\x1b[2J\u202e", "\\\\u001b[2J\\\\u202e"),
    ],
)
def test_no_cell_of_a_page_is_anything_but_text(label, shown):
    text = typeset([sheet(label)], "markdown", [label])
    assert text.splitlines()[0] == f"**tasks of {shown}**"
    assert text.splitlines()[4] == f"| {shown} | 1.5 |"
    assert text.splitlines()[6] == f"- about {shown}"
    assert text.splitlines()[8] == shown


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("a & b", r"a \& b"),
        ("[4pt]", "{[}4pt]"),
        ("*", "{*}"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("a\n\nb", r"a\textbackslash{}n\textbackslash{}nb"),
        ("50 %", r"50 \%"),
        ("<$x^2$>", r"\textless{}\$x\textasciicircum{}2\$\textgreater{}"),
        ("\x1b\u202e", r"\textbackslash{}u001b\textbackslash{}u202e"),
    ],
)
def test_no_cell_of_latex_is_a_command(label, shown):
    lines = typeset([sheet("first", label)], "latex", []).splitlines()
    assert lines[5] == rf"{shown} & 1.5 \\"


def test_a_row_of_text_is_one_line_whatever_a_cell_holds():
    lines = typeset([sheet("a\nb\x1b", "c")], "text", []).splitlines()
    assert lines[0] == "tasks of a\\nb\\u001b"
    assert lines[3:5] == ["a\\nb\\u001b      1.5", "c               1.5"]


def test_json_is_of_letters_that_do_nothing_and_says_the_same():
    value = [{"label": "\x7f\x9b\u202e\udcff\x1bé"}]
    text = plain_json(value, ["\x85"])
    assert text.isascii() and "\x7f" not in text
    assert json.loads(text) == {"tables": value, "notes": ["\x85"]}


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
