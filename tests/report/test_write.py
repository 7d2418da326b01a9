"""Tables in six formats, and cells that a sheet, page, terminal or LaTeX would take as its own."""

import csv
import io
import json
import re
from typing import get_args

import pytest
from pandas import DataFrame

from amlora.report.format import MINUS, MISSING
from amlora.report.write import Format, Sheet, comma_separated, write

from .parsed_page import Page

FORMS = get_args(Format)
HOSTILE = [
    *("a|b", "*a*", "_a_", "<script>x</script>", "</script>", "[a](http://evil)", "`a`", "$x$"),
    *("a\nb", "a\n\nb", "&lt;", "\x1b[2J\u202e", r"\input{x}", "50 %", "a & b", "[4pt]"),
    *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\x9b\u2028", "\udcff", "中文"),
]


def sheet(*labels: str, legend: tuple[str, ...] = ()) -> Sheet:
    return Sheet(
        title=f"tasks of {labels[0]}",
        values=DataFrame([{"label": label, "average": 0.015} for label in labels], dtype=object),
        shown=DataFrame([{"method": label, "average": "1.5"} for label in labels], dtype=object),
        words=("method",),
        about=(f"above {labels[0]}",),
        notes=(f"about {labels[0]}",),
        legend=legend,
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("label", HOSTILE)
def test_no_name_acts_in_any_format(label, form):
    said = write([sheet(label, "plain", legend=(label,))], form, [label])
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\ud800-\udfff]", said)
    if form in ("markdown", "html"):
        assert not re.search(r"(?<!\\)<script|(?<!\\)</script", said)
    if form == "latex":
        assert not re.search(r"\\input|(?<!\\)%|\\\\\s*[\[*]", said)


@pytest.mark.parametrize("label", HOSTILE)
def test_a_row_stays_one_row_of_as_many_cells(label):
    made = [sheet(label, "plain")]
    lines = write(made, "text").splitlines()
    assert [line.rpartition("  ")[2] for line in lines[3:6]] == ["average", "1.5", "1.5"]
    rows = [line for line in write(made, "markdown").splitlines() if line.endswith(" |")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [3] * 4
    rows = [line for line in write(made, "latex").splitlines() if line.endswith(r"\\")]
    assert [len(re.findall(r"(?<!\\)&", row)) for row in rows] == [1] * 3
    assert len(list(csv.reader(io.StringIO(write(made, "csv"))))) == 3
    assert json.loads(write(made, "json"))["tables"][0]["rows"][0]["label"] == label


@pytest.mark.parametrize("label", HOSTILE)
def test_html_is_a_well_formed_fragment(label):
    page = Page(write([sheet(label, "b")], "html", [label]))
    tags = [tag for tag, _ in page.elements]
    assert page.balanced and [tags.count(tag) for tag in ("tr", "th", "td")] == [3, 4, 2]


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("a|b", r"a\|b"),
        ("_a_ b_c", r"\_a\_ b_c"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[a](http://evil)", r"[a\](http://evil)"),
        ("[1, 2]", "[1, 2]"),
        ("a\nb", "a b"),
    ],
)
def test_markdown_shows_a_name_as_it_is_called(label, shown):
    lines = write([sheet(label)], "markdown", [label]).splitlines()
    assert (lines[0], lines[2], lines[6]) == (
        *(f"**tasks of {shown}**", f"above {shown}", f"| {shown} | 1.5 |"),
    )
    assert lines[4:6] == ["| method | average |", "| --- | ---: |"]
    assert (lines[8], lines[10]) == (f"- about {shown}", f"- {shown}")


@pytest.mark.parametrize(
    ("label", "shown"),
    [
        ("a & b", r"a \& b"),
        ("[4pt]", "{[}4pt]"),
        ("a\n\nb", r"a\textbackslash{}n\textbackslash{}nb"),
        ("<$x^2$>", r"\textless{}\$x\textasciicircum{}2\$\textgreater{}"),
        (f"† {MINUS}1 ± {MISSING}", r"$^\dagger$ $-$1 $\pm$ --"),
    ],
)
def test_latex_needs_no_package_and_only_ascii(label, shown):
    said = write([sheet("first", label)], "latex", ["A 100 % note."])
    assert rf"{shown} & 1.5 \\" in said.splitlines() and said.isascii()
    assert said.splitlines()[2] == r"\begin{tabular}{lr}"
    assert said.endswith("\n\nA 100 \\% note.\\par\n")


@pytest.mark.parametrize("label", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_of_csv_is_a_formula(label):
    made = comma_separated([DataFrame([{"label": label, "tasks": [label, "b"], label: "a"}])])
    heading, row = csv.reader(io.StringIO(made))
    assert [cell[:1] for cell in (heading[2], row[0], row[1])] == ["'"] * 3


def test_csv_is_one_table_in_full_precision_with_empty_cells():
    first = DataFrame([{"label": "a-1", "bwt": -0.25, "seeds": [-1, 2], "none": None}])
    second = DataFrame([{"label": "it's", "exact": 0.1 + 0.2, "n": 3}], dtype=object)
    assert comma_separated([first, second]).splitlines() == [
        *("label,bwt,seeds,none,exact,n", "a-1,-0.25,-1 2,,,", "it's,,,,0.30000000000000004,3"),
    ]


def test_what_words_mean_is_said_once_for_all_tables_and_notes_stand_last():
    made = [sheet("a", legend=("Same.", "Of a.")), sheet("b", legend=("Same.",))]
    assert write(made, "text", ["Left out."]).split("\n\n")[-1] == "Same.\nOf a.\nLeft out.\n"
    found = json.loads(write(made, "json", ["Left out."]))
    assert found["notes"] == ["Same.", "Of a.", "Left out."]
    assert [table["notes"] for table in found["tables"]] == [["about a"], ["about b"]]
    assert found["tables"][0]["rows"] == [{"label": "a", "average": 0.015}]
