"""Read rows.jsonl, how a run decided every test row after its last stage, and pair such rows."""

from collections.abc import Sequence
from statistics import fmean

from amlora.errors import InputError
from amlora.records.beside import Decision
from amlora.records.run import StoredRun as Run

Hits = dict[str, dict[str, bool]]
"""By task and row id: whether the answer was right."""
ROUNDING = 1e-9  # far below one row's share


def last_rows(run: Run) -> list[Decision]:
    """Return the rows of a run's last evaluation.

    Raises:
        InputError: they are altered, or not what a run writes.
    """
    learned = [row for row in run.rows if row.phase == "learned"]
    last = max((row.after for row in learned), default=0)
    return [row for row in learned if row.after == last]


def last_hits(run: Run) -> Hits | None:
    """Return the decisions of a run's last evaluation; None where it left no rows.jsonl.

    Raises:
        InputError: as `last_rows`, or a row is there twice.
    """
    rows = last_rows(run)
    if not rows:
        return None
    found: Hits = {}
    for row in rows:
        task = found.setdefault(row.task, {})
        if row.row in task:
            path = run.path / "rows.jsonl"
            raise InputError(f"{path}: row {row.row!r} of {row.task} is there twice.")
        task[row.row] = row.hit
    return found


def gives_scores(hits: Hits, run: Run) -> bool:
    """Tell whether a run's last row of R is what its rows say."""
    scores = dict(zip((task.name for task in run.record.tasks), run.record.R[-1], strict=True))
    return hits.keys() == scores.keys() and all(
        score is not None and abs(fmean(hits[task].values()) - score) < ROUNDING
        for task, score in scores.items()
    )


def paired_rows(
    both: Sequence[tuple[Hits, Hits]],
) -> tuple[list[list[float]], list[list[float]]] | None:
    """Return each row's share of hits over seeds, per task, for the two sides of a pair.

    All seeds of a stream have the same test rows. Taking each row's share first means that a row is
    drawn with all its seeds: more seeds then do not pass for more rows.

    Args:
        both: the decisions of both sides for each seed, at least one.

    Returns:
        The shares of both sides, tasks and rows in the same order; None where rows differ.
    """
    first = both[0][0]
    wanted = {task: rows.keys() for task, rows in first.items()}
    for pair in both:
        for hits in pair:
            if {task: rows.keys() for task, rows in hits.items()} != wanted:
                return None
    ours, theirs = (
        [
            [fmean(pair[side][task][row] for pair in both) for row in sorted(first[task])]
            for task in sorted(first)
        ]
        for side in (0, 1)
    )
    return ours, theirs
