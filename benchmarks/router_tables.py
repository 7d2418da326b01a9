"""Print a table of what `router.py` measured as Markdown: `docs/router.md`.

    python benchmarks/router_tables.py benchmarks/results/router-smollm2-135m.json words

Shares are in per cent, the mean over tasks, with 95 % intervals over test rows.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from amlora import files

Entry = Mapping[str, Any]
Lines = list[list[str]]
"""The head and the lines below it, cell by cell."""

SHOWN = ("today", "roots", "roots, sphere 0.1", "any words")
KINDS = ("as asked", "other words", "other layout", "free", "text alone", "chat")
TOLD = {
    "as asked": "the words of training",
    "other words": "another instruction",
    "other layout": "another instruction and layout",
    "free": "free words, no options",
    "text alone": "the text alone",
    "chat": "in a chat",
}
STRANGE = ("general", "chatty", "in a chat", "questions", "sms", "movies", "bbc", "left out")


def main() -> None:
    """Read results and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("name", choices=sorted(TABLES))
    parser.add_argument("--format", choices=["markdown"], default="markdown")
    chosen = parser.parse_args()
    print(table(files.read_json(chosen.results), chosen.name))


def table(record: Entry, name: str) -> str:
    """Return one of `TABLES` as Markdown."""
    head, *lines = TABLES[name](record)
    numbers = ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---", *numbers], *lines))


def page(record: Entry) -> Lines:
    """Return the page's table: kinds of prompts, today's way and the chosen one."""
    ways, lines = ("today", "any words"), Lines()
    found = [e for e in record["words"] if (e["wordings"], e["rows"]) == (1, 96)]
    for kind in KINDS:
        today, ours = (one(found, way=way, test=kind) for way in ways)
        lines.append([TOLD[kind], percent(today), spread(ours), gap(ours)])
    for tasks in (50, 100):
        today, ours = (one(record["small"], way=w, tasks=tasks, rows=96) for w in ways)
        lines.append([f"{tasks} small tasks", percent(today), spread(ours), gap(ours)])
    rejects = dict(zip(ways, (0.001, 0.01), strict=True))
    for of, told in (
        ("as asked", "sent to the base model: the words of training"),
        ("other words", "another instruction"),
        ("general", "general texts"),
        ("chatty", "chatty questions"),
        ("left out", "another task"),
    ):
        today, ours = (
            one(record["none"], way=way, reject=rejects[way], rows=96, of=of) for way in ways
        )
        told = told if of == "as asked" else f"sent to the base model: {told}"
        lines.append([told, percent(today), spread(ours), "\N{EN DASH}"])
    return [["prompts", "before, %", "any words, %", "change, points"], *lines]


def words(record: Entry) -> Lines:
    """Return all conditions, kinds of prompts in columns, of the main ways."""
    return [
        ["wordings, rows", "way", *KINDS],
        *(
            [f"{wordings}, {rows}", way, *(marked(one(found, test=kind)) for kind in KINDS)]
            for (wordings, rows, way), found in by(record["words"], "wordings", "rows", "way")
            if way in SHOWN
        ),
    ]


def rivals(record: Entry) -> Lines:
    """Return the ways that were measured beside, at one and four wordings of 96 rows."""
    return [
        ["wordings, rows", "way", *KINDS],
        *(
            [f"{wordings}, {rows}", way, *(marked(one(found, test=kind)) for kind in KINDS)]
            for (wordings, rows, way), found in by(record["words"], "wordings", "rows", "way")
            if way not in SHOWN or way == "any words"
            if (wordings, rows) in ((1, 96), (4, 96))
        ),
    ]


def small(record: Entry) -> Lines:
    """Return the small tasks, by rows of each."""
    counts = unique(entry["rows"] for entry in record["small"])
    return [
        ["tasks", "way", *(f"{count} rows" for count in counts)],
        *(
            [str(tasks), way, *(spread(one(found, rows=count)) for count in counts)]
            for (tasks, way), found in by(record["small"], "tasks", "way")
        ),
    ]


def uneven(record: Entry) -> Lines:
    """Return tasks of 8 to 160 rows in turn."""
    tests = unique(entry["test"] for entry in record["uneven"])
    return [
        ["way", *tests],
        *(
            [way, *(spread(one(found, test=test)) for test in tests)]
            for (way,), found in by(record["uneven"], "way")
        ),
    ]


def returning(record: Entry) -> Lines:
    """Return where rows of a task go that was learned twice."""
    kinds = ("first", "again", "elsewhere")
    return [
        ["way", "rows, first and again", *(f"{kind}, %" for kind in kinds)],
        *(
            [
                entry["way"],
                " and ".join(map(str, entry["rows"])),
                *(f"{100 * entry[k] / sum(entry[each] for each in kinds):.1f}" for k in kinds),
            ]
            for entry in record["returning"]
        ),
    ]


def bare(record: Entry) -> Lines:
    """Return texts without words, put into each task's or sent as they are."""
    texts = unique(entry["text"] for entry in record["bare"])
    return [
        ["way", *texts],
        *(
            [way, *(spread(one(found, text=text)) for text in texts)]
            for (way,), found in by(record["bare"], "way")
        ),
    ]


def none(record: Entry) -> Lines:
    """Return how many prompts of each kind go to no stage."""
    return [
        ["way, reject, rows", *KINDS, *STRANGE],
        *(
            [
                f"{way}, {reject:g}, {rows}",
                *(percent(one(found, of=of)) for of in (*KINDS, *STRANGE)),
            ]
            for (way, reject, rows), found in by(record["none"], "way", "reject", "rows")
        ),
    ]


def sure(record: Entry) -> Lines:
    """Return the posterior's expected calibration error by temperature, in points."""
    warmths = unique(entry["temperature"] for entry in record["sure"])
    return [
        ["way, rows", "prompts", *(f"temperature {warmth:g}" for warmth in warmths)],
        *(
            [
                f"{way}, {rows}",
                test,
                *(f"{100 * one(found, temperature=warmth)['error']:.1f}" for warmth in warmths),
            ]
            for (way, rows, test), found in by(record["sure"], "way", "rows", "test")
        ),
    ]


def reliability(record: Entry) -> Lines:
    """Return how often a posterior is right, by how sure it is, at its own temperature."""
    found = [entry for entry in record["sure"] if entry["bins"]]
    bins = sorted({cell["bin"] for entry in found for cell in entry["bins"]})
    return [
        ["sure, %", *(f"{entry['way']}, {entry['test']}" for entry in found)],
        *([f"{10 * b} to {10 * b + 10}", *(told(entry, b) for entry in found)] for b in bins),
    ]


def told(entry: Entry, number: int) -> str:
    """Return the share of right ones in a tenth of sureness, and of how many prompts."""
    cells = [cell for cell in entry["bins"] if cell["bin"] == number]
    return f"{100 * cells[0]['true']:.0f} of {cells[0]['rows']}" if cells else "\N{EN DASH}"


def cost(record: Entry) -> Lines:
    """Return what a route takes and a stage stores."""
    return [
        ["way", "stages", "ms a prompt", "of its forward pass, %", "bytes a stage", "bytes once"],
        *(
            [
                entry["way"],
                str(entry["stages"]),
                f"{1000 * entry['seconds']:.2f}",
                f"{100 * entry['seconds'] / entry['pass_seconds']:.2f}",
                f"{entry['bytes_per_stage']:,}",
                f"{entry['bytes_once']:,}",
            ]
            for entry in record["cost"]
        ),
    ]


TABLES: Mapping[str, Callable[[Entry], Lines]] = {
    "page": page,
    "words": words,
    "rivals": rivals,
    "small": small,
    "uneven": uneven,
    "returning": returning,
    "bare": bare,
    "none": none,
    "sure": sure,
    "reliability": reliability,
    "cost": cost,
}


def unique(values: Iterable[Any]) -> Sequence[Any]:
    """Return values once each, in the order of their first."""
    return list(dict.fromkeys(values))


def one(entries: Iterable[Entry], **wanted: Any) -> Entry:
    """Return the only entry with some values."""
    (entry,) = (e for e in entries if all(e[name] == value for name, value in wanted.items()))
    return entry


def by(entries: Iterable[Entry], *keys: str) -> list[tuple[tuple[Any, ...], list[Entry]]]:
    """Group entries by some values, in the order of their first."""
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(tuple(entry[key] for key in keys), []).append(entry)
    return list(groups.items())


def percent(entry: Entry) -> str:
    """Show a share."""
    return f"{100 * entry['mean']:.1f}"


def spread(entry: Entry) -> str:
    """Show a share with its interval."""
    return f"{percent(entry)} ({100 * entry['low']:.1f} to {100 * entry['high']:.1f})"


def signed(value: float) -> str:
    """Show a difference in points."""
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def gap(entry: Entry) -> str:
    """Show the paired difference from today's way."""
    found = entry["gap"]
    return f"{signed(found['mean'])} ({signed(found['low'])} to {signed(found['high'])})"


def marked(entry: Entry) -> str:
    """Show a share; + or - where it is better or worse than today's way beyond noise."""
    found = entry["gap"]
    sign = "+" if found["low"] > 0 else "\N{MINUS SIGN}" if found["high"] < 0 else ""
    return f"{percent(entry)} {sign}".strip()


if __name__ == "__main__":
    main()
