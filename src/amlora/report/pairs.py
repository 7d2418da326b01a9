"""Methods compared in pairs: each line of a stream against one reference line, on equal test rows.

Orders of the same tasks are compared one by one, and once more together.

Two questions are kept apart. The bootstrap over test rows says whether these runs would still
differ on other rows of the kind; the sign-flip test over seeds says whether other seeds would show
the same. A verdict speaks of more than the rows and seeds at hand only where both do.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from pandas import DataFrame, Series

from amlora.errors import InputError, nearest
from amlora.evaluate.statistics import Interval, paired_bootstrap, sign_flip_test
from amlora.report.compare import BOOTSTRAP_SEED, MISSING, comparable, lines_of, pooled, subject
from amlora.report.format import bracketed, points
from amlora.report.methods import Row, shown, told
from amlora.report.write import Sheet, plain

REFERENCE = "am_lora"  # the method that others are compared with unless a line is named
SIGNIFICANT = 0.05  # p
ROUNDING = 1e-9  # far below one row's share: an end this close to 0 is 0


def pairs_tables(
    runs: DataFrame,
    rows: DataFrame,
    against: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> tuple[list[DataFrame], list[str]]:
    """Compare every line with the reference line of its stream and base model.

    Args:
        runs: of `compare.told`, scored on test rows.
        rows: of `compare.last_decisions`.
        against: the reference line's label; None for the only line of `am_lora`.
        labels: by run, as for `comparable`.

    Returns:
        The tables, and a line for everything that could not be compared, or not in full.

    Raises:
        InputError: there are lines to compare, and none of them is the reference line; or a seed of
            a line is there twice.
    """
    hits, without = usable(runs, rows)
    tables: list[DataFrame] = []
    notes: list[str] = []
    unknown: list[str] = []
    known = 0
    streams = comparable(runs, labels)
    for group in (*streams, *pooled(streams)):
        where = f"{group['model'][0]}, {', '.join(group['tasks'][0])}"
        if group["line"].nunique() == 1:
            notes.append(f"{where}: there is nothing to compare {group['label'][0]} with.")
            continue
        try:
            table, said = pairs_table(group, hits, against)
        except InputError as error:
            unknown.append(f"{where}: {error}")
            continue
        known += 1
        said = [*(without[run] for run in group["run"] if run in without), *said]
        notes.extend(f"{where}: {note}" for note in said)
        if len(table):
            tables.append(table)
    if unknown and not known:
        raise InputError(unknown[0])
    return tables, [*notes, *unknown]


def pairs_table(
    runs: DataFrame, rows: DataFrame, against: str | None = None
) -> tuple[DataFrame, list[str]]:
    """Return each other line's pair with the reference line, and what could not be compared.

    Differences are the line's own minus the reference's: fractions, of means over the seeds that
    both have.

    Args:
        runs: of one stream and base model, of `comparable`, or of several orders, of `pooled`.
        rows: of `compare.last_decisions`, of the runs that have some.
        against: the reference line's label; None for the only line of `am_lora`.

    Raises:
        InputError: the reference line is not there, or unclear.
    """
    reference = reference_of(runs, against)
    label = reference["label"].iloc[0]
    hits = rows.pivot(index=["task", "row"], columns="run", values="hit")
    made: list[dict[str, Any]] = []
    notes: list[str] = []
    for line in lines_of(runs):
        first = line.iloc[0]
        if first["line"] == reference["line"].iloc[0]:
            continue
        names = f"{first['label']} and {label}"
        both = line.merge(reference, on=["stream", "seed"], suffixes=("", "_other"))
        averages = gaps(both, "average")
        if not len(both):
            notes.append(f"{names} have no seed in common.")
            continue
        if averages is None:
            notes.append(f"{names} have no averages for all their common seeds.")
            continue
        interval = None
        if {*both["run"], *both["run_other"]} <= {*hits}:
            shares = paired_rows(hits, both)
            if shares is None:
                notes.append(f"{names} were scored on other rows, so they have no interval.")
            else:
                interval = paired_bootstrap(*shares, seed=BOOTSTRAP_SEED).interval
        # Only the differences' signs are flipped, so the differences are all that the test needs.
        flips = sign_flip_test(averages, [0.0] * len(averages)) if len(averages) > 1 else None
        made.append(
            {
                **subject(runs),
                "orders": runs["stream"].nunique(),
                "against": label,
                "label": first["label"],
                "method": first["method"],
                "seeds": both["seed"].tolist(),
                "difference": fmean(averages),
                "low": interval.low if interval else None,
                "high": interval.high if interval else None,
                "p": flips.p if flips else None,
                "smallest_p": flips.smallest_p if flips else None,
                "verdict": verdict_of(interval, flips.p if flips else None),
                **{
                    name: None if (found := gaps(both, name)) is None else fmean(found)
                    for name in ("learning_accuracy", "bwt")
                },
            }
        )
    return DataFrame(made), notes


def reference_of(runs: DataFrame, against: str | None) -> DataFrame:
    """Return the runs of the line that the others are compared with.

    A line is found by its label, else by its runs' name, else by its method.

    Raises:
        InputError: it is not there, or unclear.
    """
    lines = lines_of(runs)
    names = [line["label"].iloc[0] for line in lines]
    listed = ", ".join(map(repr, names))
    wanted = against or REFERENCE
    several: list[DataFrame] = []
    for kind in ("label", "name", "method"):
        found = [line for line in lines if line[kind].iloc[0] == wanted]
        if len(found) == 1:
            return found[0]
        several = several or found
    if several or against is None:
        count = f"{len(several)} lines are" if several else "no line is"
        raise InputError(f"{count} {wanted}; give --against one of {listed}.")
    hint = nearest(against, names) or "."
    raise InputError(f"no line {against!r} to compare with among {listed}{hint}")


def usable(runs: DataFrame, rows: DataFrame) -> tuple[DataFrame, dict[str, str]]:
    """Return the rows that give their run's last scores, and why other runs have no interval.

    Returns:
        Those rows, and a line for each run without any.
    """
    means = rows.groupby(["run", "task"])["hit"].mean()
    without: dict[str, str] = {}
    for run, tasks, record in runs[["run", "tasks", "record"]].to_numpy():
        name = run.rstrip("/").rpartition("/")[2]
        if run not in means.index:
            without[run] = f"{name} has no rows, so it has no interval."
            continue
        gap = (means[run] - Series(record.R[-1], index=list(tasks), dtype=float)).abs()
        if not (gap < ROUNDING).all():
            without[run] = (
                f"{name} has rows that do not give its last scores, so it has no interval."
            )
    return rows[~rows["run"].isin([*without])], without


def paired_rows(
    hits: DataFrame, both: DataFrame
) -> tuple[list[list[float]], list[list[float]]] | None:
    """Return each row's share of hits over seeds, per task, for the two sides of a pair.

    All seeds of a stream have the same test rows. Taking each row's share first means that a row is
    drawn with all its seeds: more seeds then do not pass for more rows.

    Args:
        hits: (task and row, run); a row that a run was not scored on is missing.
        both: the runs of each seed, at least one.

    Returns:
        The shares of both sides, tasks and rows in the same order; None where rows differ.
    """
    ours, theirs = hits[both["run"]], hits[both["run_other"]]
    scored = ours.notna().any(axis=1) | theirs.notna().any(axis=1)
    ours, theirs = ours[scored], theirs[scored]
    if ours.isna().any(axis=None) or theirs.isna().any(axis=None):
        return None
    first, second = (
        [share.tolist() for _, share in side.astype(float).mean(axis=1).groupby(level="task")]
        for side in (ours, theirs)
    )
    return first, second


def gaps(both: DataFrame, name: str) -> list[float] | None:
    """Return a metric's difference for each seed; None where one is undefined."""
    # Equal averages of other rows may differ by rounding, which a test over seeds would count.
    found = (both[name].astype(float) - both[f"{name}_other"].astype(float)).round(12)
    return None if found.isna().any() else found.tolist()


def verdict_of(interval: Interval | None, p: float | None) -> str:
    """Say what an interval over rows and a test over seeds allow to say.

    Fewer than six seeds cannot give a p of 0.05, and so never a word beyond these rows and seeds.
    """
    if interval is None or (interval.low <= ROUNDING and interval.high >= -ROUNDING):
        return "not told apart"
    word = "higher" if interval.low > 0 else "lower"
    return word if p is not None and p <= SIGNIFICANT else f"{word} on these rows and seeds"


def pairs_sheet(table: DataFrame) -> Sheet:
    """Return a table of `pairs_table` as a reader sees it."""
    rows = plain(table)
    first = rows[0]
    tasks = ", ".join(first["tasks"])
    if first["orders"] > 1:
        tasks = f"{first['orders']} orders of {', '.join(sorted(first['tasks']))}"
    return Sheet(
        title=f"{first['model']}: {tasks}; methods against {first['against']}",
        values=table,
        shown=shown(rows, COLUMNS),
        words=("method", "seeds", "verdict"),
        notes=notes(rows),
        legend=LEGEND,
    )


def of_seeds(row: Row) -> str:
    """Name the seeds of a pair, and how many runs they have where orders are taken together."""
    seeds = row["seeds"]
    distinct = ", ".join(map(str, sorted(set(seeds))))
    return distinct if len(set(seeds)) == len(seeds) else f"{distinct} ({len(seeds)} runs)"


COLUMNS: dict[str, Callable[[Row], str]] = {
    "method": lambda row: row["label"],
    "seeds": of_seeds,
    "average, points": told("difference", points),
    "95 % interval": lambda row: (
        "" if row["low"] is None else bracketed(row["low"], row["high"], "rows", points)
    ),
    "p": told("p", "{:.2g}".format),
    "smallest p": told("smallest_p", "{:.2g}".format),
    "verdict": lambda row: row["verdict"],
    "learning accuracy, points": told("learning_accuracy", points),
    "BWT, points": told("bwt", points),
}
LEGEND = (
    "Average: the method's minus that of the line that it is compared with, mean over their common"
    " seeds; where orders are taken together, a run is compared with that of the same order and"
    " seed.",
    "(a, b): 95 % interval over test rows (paired bootstrap; a row is drawn with all its seeds). It"
    " says nothing about other seeds.",
    "p: sign-flip test over the common seeds (or runs), two-sided; one alone allows none.",
    "Higher, lower: the interval leaves 0 out. That is said of more than these rows and seeds only"
    f" where p is at most {SIGNIFICANT:g} as well.",
    "Each pair is judged by itself: neither intervals nor p are corrected for their number.",
    "Learning accuracy and BWT: mean differences over seeds, without a test.",
    MISSING,
)


def notes(rows: Sequence[Row]) -> list[str]:
    """Say where the test over seeds cannot reach its level, whatever the difference."""
    unit = "runs" if rows[0]["orders"] > 1 else "seeds"
    reachable = {len(row["seeds"]): row["smallest_p"] for row in rows if row["smallest_p"]}
    return [
        f"With {count} {unit} no p can lie below {smallest:.2g}, so the test cannot reach"
        f" {SIGNIFICANT:g}, whatever the difference."
        for count, smallest in sorted(reachable.items())
        if smallest > SIGNIFICANT
    ]
