"""The 95 % interval of a line's average: over its seeds, or over the test rows of a single run.

The two differ in what they speak of, so each has its own brackets, which a remark explains.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from amlora.evaluate.statistics import Interval, paired_bootstrap, seed_interval
from amlora.records.run import StoredRun as Run

Over = Literal["", "seeds", "rows"]
BOOTSTRAP_SEED = 0
OVER = {
    "seeds": "[a, b]: 95 % interval over seeds (Student's t).",
    "rows": "(a, b): a single run; 95 % interval over its test rows (bootstrap), not over seeds.",
}


def average_interval(runs: Sequence[Run]) -> tuple[Interval | None, Over]:
    """Return the interval of the mean of some runs' averages, and what it is over.

    Args:
        runs: of one line, one for each seed.

    Returns:
        The interval in per cent; None, over nothing, where an average is undefined.

    Raises:
        InputError: several seeds, and no scipy.
    """
    values = [run.record.metrics.average for run in runs]
    known = [100 * value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None, ""
    if len(known) > 1:
        return seed_interval(known).interval, "seeds"
    rows = row_interval(runs[0])
    return rows, "rows" if rows else ""


def row_interval(run: Run) -> Interval | None:
    """Return the bootstrap interval of a run's average over its test rows, per cent.

    A score is a share of hits, so the last row of R and the numbers of rows say how many there are;
    the bootstrap needs no more of them.
    """
    hits: list[list[float]] = []
    for score, task in zip(run.record.R[-1], run.record.tasks, strict=True):
        if score is None:
            return None
        right = round(score * task.scored)
        hits.append([100.0] * right + [0.0] * (task.scored - right))
    nothing = [[0.0] * len(rows) for rows in hits]
    return paired_bootstrap(hits, nothing, seed=BOOTSTRAP_SEED).interval


def bracketed(interval: Interval, over: Over, show: Callable[[float], str]) -> str:
    """Show an interval in the brackets that tell what it is over."""
    low, high = map(show, interval)
    return f"[{low}, {high}]" if over == "seeds" else f"({low}, {high})"
