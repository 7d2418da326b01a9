"""Read rows.jsonl, how a run decided every test row after its last stage, and pair such rows."""

from collections.abc import Sequence
from statistics import fmean

import msgspec

from amlora import files
from amlora.errors import InputError
from amlora.formats import parse_lines
from amlora.report.read import Run

Hits = dict[str, dict[str, bool]]
"""By task and row id: whether the answer was right."""
ROUNDING = 1e-9  # far below one row's share


class Decision(msgspec.Struct, frozen=True):
    """One row of one evaluation; `after` is its stage, 0 for the first."""

    phase: str
    after: int
    task: str
    row: str
    hit: bool
    stages: dict[str, float] = {}
    """Shares of the stages that answered."""
    posterior: dict[str, float] = {}
    """How likely the prompt is each stage's; stages of next to none are left out."""
    distance: float = 0.0
    """From the likeliest stage's prompts, in units of its limit: above 1 it is of no task."""


def last_rows(run: Run) -> list[Decision] | None:
    """Return the rows of a run's last evaluation; None where it left no rows.jsonl.

    Raises:
        InputError: its sha256 is not that of the record, or it is not what a run writes.
    """
    path = run.folder / "rows.jsonl"
    if not files.exists(path):
        return None
    data = files.read_bytes(path)
    if run.record.rows_digest is not None and files.sha256_bytes(data) != run.record.rows_digest:
        raise InputError(f"{path}: altered; its sha256 is not the one in record.json.")
    rows = parse_lines(path, data, Decision)
    learned = [row for row in rows if row.phase == "learned"]
    last = max((row.after for row in learned), default=0)
    return [row for row in learned if row.after == last]


def last_hits(run: Run) -> Hits | None:
    """Return the decisions of a run's last evaluation; None where it left no rows.jsonl.

    Raises:
        InputError: as `last_rows`, or a row is there twice.
    """
    rows = last_rows(run)
    if rows is None:
        return None
    found: Hits = {}
    for row in rows:
        task = found.setdefault(row.task, {})
        if row.row in task:
            path = run.folder / "rows.jsonl"
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
