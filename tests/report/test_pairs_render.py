"""Paired comparisons in five formats, and what is said below them."""

import csv
import io
import json
import re
from pathlib import Path
from typing import get_args

import pytest

from amlora.evaluate.statistics import Interval
from amlora.records.store import read_run
from amlora.report.format import MINUS
from amlora.report.old_pairs import Pair, PairsTable, pairs_tables
from amlora.report.pairs_render import HEADINGS, remarks, render
from amlora.report.typeset import Format
from paired_runs import write_run

FORMS = get_args(Format)


def pair(label: str, seeds: int = 1, **changed) -> Pair:
    smallest = 2 / 2**seeds if seeds > 1 else None
    return Pair(
        **{
            "label": label,
            "method": label,
            "seeds": tuple(range(seeds)),
            "difference": 0.0125,
            "interval": Interval(-0.031, 0.0562),
            "p": smallest,
            "smallest_p": smallest,
            "verdict": "not told apart",
            "learning_accuracy": -0.02,
            "bwt": 0.1,
        }
        | changed
    )


def table(*pairs: Pair) -> PairsTable:
    return PairsTable(
        model="small",
        tasks=("sms", "topic"),
        stream_digest="a7" * 32,
        against="am_lora",
        pairs=pairs,
    )


def test_text_shows_points_intervals_and_verdicts():
    lower = pair("b", 3, difference=-0.2, verdict="lower on these rows and seeds")
    lines = render([table(pair("a"), lower)], "text", ["A note."]).splitlines()
    assert lines[0] == "small: sms, topic; methods against am_lora"
    assert re.split(r"  +", lines[2]) == list(HEADINGS)
    assert re.split(r"  +", lines[3]) == [
        *("a", "0", "+1.2", f"({MINUS}3.1, +5.6)", "not told apart", f"{MINUS}2.0", "+10.0")
    ]
    assert re.split(r"  +", lines[4])[2:7] == [
        *(f"{MINUS}20.0", f"({MINUS}3.1, +5.6)", "0.25", "0.25", "lower on these rows and seeds")
    ]
    assert lines[-1] == "A note."


@pytest.mark.parametrize(
    ("seeds", "said", "not_said"),
    [
        ((1,), "One common seed allows no test over seeds.", "sign-flip"),
        ((3,), "With 3 seeds no p can lie below 0.25, so the test cannot reach 0.05", "One common"),
        ((1, 5), "With 5 seeds no p can lie below 0.062, so", "With 1"),
        ((1, 5), "One common seed allows no test over seeds: m1.", "With 1"),
        ((6,), "p: sign-flip test over the common seeds, two-sided.", "cannot reach"),
    ],
)
def test_where_a_test_over_seeds_cannot_reach_its_level_is_said(seeds, said, not_said):
    found = "\n".join(remarks(table(*(pair(f"m{count}", count) for count in seeds))))
    assert said in found and not_said not in found


def test_how_many_pairs_there_are_is_said_and_that_nothing_is_corrected():
    two = remarks(table(pair("a"), pair("b")))
    assert any(
        line.startswith("2 pairs, each judged by itself: neither intervals nor p") for line in two
    )
    assert not any("judged by itself" in line for line in remarks(table(pair("a"))))


def test_empty_cells_are_named_but_for_the_test_which_has_its_own_remark():
    bare = pair("mtl", interval=None, learning_accuracy=None, bwt=None)
    (line,) = [each for each in remarks(table(pair("a"), bare)) if each.startswith("Empty")]
    assert line == (
        "Empty cells are undefined or were not measured: mtl (95 % interval, learning accuracy,"
        " points, BWT, points)."
    )


@pytest.mark.parametrize("form", FORMS)
def test_no_format_calls_anything_better(form):
    shown = render([table(pair("a", 6, verdict="higher"))], form)
    assert not re.search(r"\b(better|best|outperform|superior|beats?|wins?)\b", shown)


def test_markdown_is_one_table_whatever_a_line_is_called():
    rows = [
        line
        for line in render([table(pair("a|b"), pair("c"))], "markdown").splitlines()
        if line.startswith("|")
    ]
    assert len(rows) == 4
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(HEADINGS) + 1}


def test_csv_and_json_have_full_precision_and_json_what_the_numbers_speak_of():
    made = table(pair("a", 3), pair("b", interval=None))
    first, second = csv.DictReader(io.StringIO(render([made], "csv")))
    assert (first["against"], first["tasks"], first["seeds"]) == ("am_lora", "sms topic", "0 1 2")
    assert (first["difference"], first["low"], first["smallest_p"]) == ("0.0125", "-0.031", "0.25")
    assert (second["low"], second["high"], second["p"]) == ("", "", "")
    found = json.loads(render([made], "json", ["A note."]))
    (plain,) = found["tables"]
    assert found["notes"] == ["A note."] and plain["against"] == "am_lora"
    assert plain["pairs"][0] == {
        **{"label": "a", "method": "a", "seeds": [0, 1, 2], "difference": 0.0125},
        **{"low": -0.031, "high": 0.0562, "p": 0.25, "smallest_p": 0.25},
        **{"verdict": "not told apart", "learning_accuracy": -0.02, "bwt": 0.1},
    }
    assert plain["remarks"] == remarks(made)


def test_latex_escapes_what_it_must():
    said = render([table(pair("a_b & 5%"))], "latex", ["A 100 % note."])
    body = [line for line in said.splitlines() if line.endswith(r"\\")]
    assert body[1].startswith(r"a\_b \& 5\% & 0 & +1.2 & ($-$3.1, +5.6) &")
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(HEADINGS) - 1}
    assert said.endswith("A 100 \\% note.\\par\n")
    assert not re.search(r"[^\x00-\x7f]", said)


@pytest.mark.parametrize("form", FORMS)
def test_equal_runs_give_equal_bytes_whatever_their_order(tmp_path: Path, form):
    folders = [
        write_run(tmp_path, method, {"a": hits, "b": "110"}, seed=seed)
        for method, hits in (("own", "1101"), ("am_lora", "0110"), ("other", "0000"))
        for seed in (0, 1)
    ]
    runs = [read_run(folder) for folder in folders]
    first = render(*pairs_tables(runs, against=None)[:1], form)
    assert first == render(*pairs_tables(runs[::-1], against=None)[:1], form)
    assert first.endswith("\n") and not first.endswith("\n\n")
