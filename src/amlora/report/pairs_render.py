"""Paired comparisons as text, Markdown, CSV, JSON and LaTeX: equal tables, equal bytes.

What an interval, a p and a verdict speak of, and what they do not, stands below every table; CSV
and JSON hold fractions to twelve places or more.
"""

from collections.abc import Sequence
from typing import Any

from amlora.report.format import points
from amlora.report.intervals import bracketed
from amlora.report.old_pairs import SIGNIFICANT, Pair, PairsTable
from amlora.report.typeset import (
    Format,
    Sheet,
    comma_separated,
    empty_cells,
    plain_json,
    typeset,
)

HEADINGS = (
    *("method", "seeds", "average, points", "95 % interval", "p", "smallest p", "verdict"),
    *("learning accuracy, points", "BWT, points"),
)
OVER_SEEDS = ("p", "smallest p")  # their empty cells have a remark of their own


def render(tables: Sequence[PairsTable], form: Format, notes: Sequence[str] = ()) -> str:
    """Write tables in a format, ending in a newline.

    Args:
        tables: of `pairs_tables`.
        form: the format.
        notes: what could not be compared, and lines of the caller's; CSV has none.
    """
    if form == "json":
        return as_json(tables, notes)
    if form == "csv":
        rows = [
            {
                "model": table.model,
                "tasks": list(table.tasks),
                "orders": table.orders,
                "against": table.against,
                **flat(pair),
            }
            for table in tables
            for pair in table.pairs
        ]
        return comma_separated(rows)
    return typeset([sheet(table) for table in tables], form, notes)


def sheet(table: PairsTable) -> Sheet:
    """Return a table as a reader sees it."""
    tasks = ", ".join(table.tasks)
    if table.orders > 1:
        tasks = f"{table.orders} orders of {', '.join(sorted(table.tasks))}"
    return Sheet(
        heading=f"{table.model}: {tasks}; methods against {table.against}",
        columns=HEADINGS,
        rows=[cells(pair) for pair in table.pairs],
        remarks=remarks(table),
    )


def cells(pair: Pair) -> list[str]:
    """Return a pair as a reader sees it, in the order of `HEADINGS`; "" is an empty cell."""
    return [
        pair.label,
        of_seeds(pair.seeds),
        points(pair.difference),
        bracketed(pair.interval, "rows", points) if pair.interval else "",
        "" if pair.p is None else f"{pair.p:.2g}",
        "" if pair.smallest_p is None else f"{pair.smallest_p:.2g}",
        pair.verdict,
        "" if pair.learning_accuracy is None else points(pair.learning_accuracy),
        "" if pair.bwt is None else points(pair.bwt),
    ]


def of_seeds(seeds: Sequence[int]) -> str:
    """Name the seeds of a pair, and how many runs they have where orders are taken together."""
    distinct = ", ".join(map(str, sorted(set(seeds))))
    return distinct if len(set(seeds)) == len(seeds) else f"{distinct} ({len(seeds)} runs)"


def remarks(table: PairsTable) -> list[str]:
    """Say what the numbers speak of, what they do not, and what is empty."""
    unit = "run" if table.orders > 1 else "seed"
    said = [
        f"Average: the method's minus that of {table.against}, mean over their common {unit}s.",
        "(a, b): 95 % interval over test rows (paired bootstrap; a row is drawn with all its"
        f" {unit}s). It says nothing about other seeds.",
        *seed_remarks(table.pairs, unit),
        "Higher, lower: the interval leaves 0 out. That is said of more than these rows and seeds"
        f" only where p is at most {SIGNIFICANT:g} as well.",
    ]
    if table.orders > 1:
        said.insert(0, "A run is one order with one seed, compared with the same order and seed.")
    if len(table.pairs) > 1:
        said.append(
            f"{len(table.pairs)} pairs, each judged by itself: neither intervals nor p are"
            " corrected for their number."
        )
    said.append(f"Learning accuracy and BWT: mean differences over {unit}s, without a test.")
    rows = {pair.label: cells(pair) for pair in table.pairs}
    kept = [at for at, name in enumerate(HEADINGS) if name not in OVER_SEEDS]
    if empty := empty_cells(
        [HEADINGS[at] for at in kept],
        {label: [row[at] for at in kept] for label, row in rows.items()},
    ):
        said.append(f"Empty cells are undefined or were not measured: {empty}.")
    return said


def seed_remarks(pairs: Sequence[Pair], unit: str) -> list[str]:
    """Say what the test over seeds is, where it cannot reach 0.05, and where there is none.

    Args:
        pairs: of a table.
        unit: "seed", or "run" where orders are taken together.
    """
    said: list[str] = []
    reachable = {len(pair.seeds): pair.smallest_p for pair in pairs if pair.smallest_p is not None}
    if reachable:
        said.append(f"p: sign-flip test over the common {unit}s, two-sided.")
    said.extend(
        f"With {count} {unit}s no p can lie below {smallest:.2g}, so the test cannot reach"
        f" {SIGNIFICANT:g}, whatever the difference."
        for count, smallest in sorted(reachable.items())
        if smallest > SIGNIFICANT
    )
    if single := [pair.label for pair in pairs if pair.smallest_p is None]:
        which = "" if len(single) == len(pairs) else f": {', '.join(single)}"
        said.append(f"One common {unit} allows no test over {unit}s{which}.")
    return said


def flat(pair: Pair) -> dict[str, Any]:
    """Return a pair as plain values."""
    return {
        "label": pair.label,
        "method": pair.method,
        "seeds": list(pair.seeds),
        "difference": pair.difference,
        "low": pair.interval.low if pair.interval else None,
        "high": pair.interval.high if pair.interval else None,
        "p": pair.p,
        "smallest_p": pair.smallest_p,
        "verdict": pair.verdict,
        "learning_accuracy": pair.learning_accuracy,
        "bwt": pair.bwt,
    }


def as_json(tables: Sequence[PairsTable], notes: Sequence[str]) -> str:
    """Fractions, null where missing, and what the numbers speak of."""
    plain = [
        {
            "model": table.model,
            "tasks": list(table.tasks),
            "stream_digest": table.stream_digest,
            "orders": table.orders,
            "against": table.against,
            "pairs": [flat(pair) for pair in table.pairs],
            "remarks": remarks(table),
        }
        for table in tables
    ]
    return plain_json(plain, notes)
