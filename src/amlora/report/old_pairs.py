"""Methods compared in pairs: each line of a stream against one reference line, on equal test rows.

Orders of the same tasks are compared one by one, and once more together.

Two questions are kept apart. The bootstrap over test rows says whether these runs would still
differ on other rows of the kind; the sign-flip test over seeds says whether other seeds would show
the same. A verdict speaks of more than the rows and seeds at hand only where both do.
`pairs_render` writes the tables in five formats.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

from amlora.errors import InputError, nearest
from amlora.evaluate.statistics import Interval, paired_bootstrap, sign_flip_test
from amlora.records.run import StoredRun as Run
from amlora.records.schema import Metrics
from amlora.report.intervals import BOOTSTRAP_SEED
from amlora.report.lines import MethodRuns, comparable
from amlora.report.pooled import pooled
from amlora.report.rows import Hits, gives_scores, last_hits, paired_rows

Verdict = Literal[
    "higher",
    "lower",
    "higher on these rows and seeds",
    "lower on these rows and seeds",
    "not told apart",
]
REFERENCE = "am_lora"  # the method that others are compared with unless a line is named
SIGNIFICANT = 0.05  # p
ROUNDING = 1e-9  # far below one row's share: an end this close to 0 is 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A line and the reference line: differences are the line's own minus the reference's.

    They are fractions, of means over the seeds that both have. None is undefined.
    """

    label: str
    method: str
    seeds: tuple[int, ...]
    """Of each run that has a partner; in several orders a seed is there several times."""
    difference: float
    """Of the averages."""
    interval: Interval | None
    """Of the difference over test rows, 95 %; None where the rows are not known or do not pair."""
    p: float | None
    """Of the sign-flip test over seeds; None for a single one."""
    smallest_p: float | None
    """No difference gives a smaller p with so many seeds."""
    verdict: Verdict
    learning_accuracy: float | None
    bwt: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsTable:
    """The pairs of one base model on one stream, or on several orders of the same tasks."""

    model: str
    tasks: tuple[str, ...]
    stream_digest: str
    """Of the first order."""
    orders: int = 1
    against: str
    """The reference line's label."""
    pairs: tuple[Pair, ...]


def pairs_tables(
    runs: Sequence[Run], *, against: str | None, labels: Mapping[Path, str] | None = None
) -> tuple[list[PairsTable], list[str]]:
    """Compare every line with the reference line of its stream and base model.

    Args:
        runs: finished ones.
        against: the reference line's label; None for the only line of `am_lora`.
        labels: by run folder, as for `methods_tables`.

    Returns:
        The tables, and a line for everything that could not be compared, or not in full.

    Raises:
        InputError: there are lines to compare, and none of them is the reference line; a seed of a
            line is there twice; rows are not those that their record speaks of; or there are
            several seeds and no scipy.
    """
    tables: list[PairsTable] = []
    notes: list[str] = []
    unknown: list[str] = []
    known = 0
    streams = comparable(runs, labels)
    for lines in (*streams, *pooled(streams)):
        where = about(lines)
        if len(lines) == 1:
            notes.append(f"{where}: there is nothing to compare {lines[0].label} with.")
            continue
        try:
            reference = reference_of(lines, against)
        except InputError as error:
            unknown.append(f"{where}: {error}")
            continue
        known += 1
        pairs, said = pairs_of(lines, reference)
        notes.extend(f"{where}: {note}" for note in said)
        record = reference.runs[0].record
        if pairs:
            tables.append(
                PairsTable(
                    model=record.model.name,
                    tasks=tuple(task.name for task in record.tasks),
                    stream_digest=record.stream_digest,
                    orders=len({run.record.stream_digest for line in lines for run in line.runs}),
                    against=reference.label,
                    pairs=tuple(pairs),
                )
            )
    if unknown and not known:
        raise InputError(unknown[0])
    return tables, [*notes, *unknown]


def about(lines: Sequence[MethodRuns]) -> str:
    """Name what lines that can be compared have in common."""
    record = lines[0].runs[0].record
    return f"{record.model.name}, {', '.join(task.name for task in record.tasks)}"


def reference_of(lines: Sequence[MethodRuns], against: str | None) -> MethodRuns:
    """Return the line that the others are compared with.

    Raises:
        InputError: it is not there, or unclear.
    """
    names = [line.label for line in lines]
    listed = ", ".join(names)
    if against is None:
        found = [line for line in lines if line.runs[0].record.method == REFERENCE]
        if len(found) != 1:
            count = f"{len(found)} lines are" if found else "no line is"
            raise InputError(f"{count} {REFERENCE}; name one to compare with, among {listed}.")
        return found[0]
    if against not in names:
        hint = nearest(against, names) or "."
        raise InputError(f"no line {against!r} to compare with among {listed}{hint}")
    return lines[names.index(against)]


def pairs_of(lines: Sequence[MethodRuns], reference: MethodRuns) -> tuple[list[Pair], list[str]]:
    """Return each other line's pair with the reference, and what could not be compared."""
    hits, notes = hits_of([run for line in lines for run in line.runs])
    theirs = {partner(run): run for run in reference.runs}
    pairs: list[Pair] = []
    for line in lines:
        if line is reference:
            continue
        names = f"{line.label} and {reference.label}"
        both = [(run, theirs[partner(run)]) for run in line.runs if partner(run) in theirs]
        averages = gaps(both, lambda metrics: metrics.average)
        if not both:
            notes.append(f"{names} have no seed in common.")
            continue
        if averages is None:
            notes.append(f"{names} have no averages for all their common seeds.")
            continue
        interval = None
        if all(run.path in hits for pair in both for run in pair):
            rows = paired_rows([(hits[ours.path], hits[other.path]) for ours, other in both])
            if rows is None:
                notes.append(f"{names} were scored on other rows, so they have no interval.")
            else:
                interval = paired_bootstrap(*rows, seed=BOOTSTRAP_SEED).interval
        # Only the differences' signs are flipped, so the differences are all that the test needs.
        flips = sign_flip_test(averages, [0.0] * len(averages)) if len(averages) > 1 else None
        pairs.append(
            Pair(
                label=line.label,
                method=line.runs[0].record.method,
                seeds=tuple(run.record.seed for run, _ in both),
                difference=fmean(averages),
                interval=interval,
                p=flips.p if flips else None,
                smallest_p=flips.smallest_p if flips else None,
                verdict=verdict_of(interval, flips.p if flips else None),
                learning_accuracy=mean_gap(both, lambda metrics: metrics.learning_accuracy),
                bwt=mean_gap(both, lambda metrics: metrics.bwt),
            )
        )
    return pairs, notes


def partner(run: Run) -> tuple[str, int]:
    """Return what a run and the one that it is compared with have in common: order and seed."""
    return run.record.stream_digest, run.record.seed


def hits_of(runs: Sequence[Run]) -> tuple[dict[Path, Hits], list[str]]:
    """Return runs' last decisions by folder, and a line for each run that has none to use."""
    found: dict[Path, Hits] = {}
    notes: list[str] = []
    for run in runs:
        hits = last_hits(run)
        if hits is None:
            notes.append(f"{run.path.name} has no rows.jsonl, so it has no interval.")
        elif not gives_scores(hits, run):
            notes.append(
                f"{run.path.name} has rows that do not give its last scores, so it has no interval."
            )
        else:
            found[run.path] = hits
    return found, notes


def gaps(
    both: Sequence[tuple[Run, Run]], of: Callable[[Metrics], float | None]
) -> list[float] | None:
    """Return a metric's difference for each seed; None where one is undefined."""
    found: list[float] = []
    for pair in both:
        ours, theirs = (of(run.record.metrics) for run in pair)
        if ours is None or theirs is None:
            return None
        # Equal averages of other rows may differ by rounding, which a test over seeds would count.
        found.append(round(ours - theirs, 12))
    return found


def mean_gap(
    both: Sequence[tuple[Run, Run]], of: Callable[[Metrics], float | None]
) -> float | None:
    """Return a metric's mean difference over seeds; None where one is undefined."""
    found = gaps(both, of)
    return None if found is None else fmean(found)


def verdict_of(interval: Interval | None, p: float | None) -> Verdict:
    """Say what an interval over rows and a test over seeds allow to say.

    Fewer than six seeds cannot give a p of 0.05, and so never a word beyond these rows and seeds.
    """
    if interval is None or (interval.low <= ROUNDING and interval.high >= -ROUNDING):
        return "not told apart"
    beyond = p is not None and p <= SIGNIFICANT
    if interval.low > 0:
        return "higher" if beyond else "higher on these rows and seeds"
    return "lower" if beyond else "lower on these rows and seeds"
