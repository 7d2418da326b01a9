"""What a run took its test rows for: each task's rows in numbers, and the least sure one by one."""

from collections.abc import Sequence
from statistics import fmean

from amlora.records.beside import Decision
from amlora.records.run import StoredRun as Run
from amlora.report import format
from amlora.report.rows import last_rows
from amlora.report.typeset import Sheet

SHOWN = 20
"""Rows that are listed one by one."""
NONE = "none"


def belief_sheets(run: Run) -> tuple[Sheet, ...]:
    """Return a table of tasks and one of the least sure rows; () where no stages were told apart.

    Raises:
        InputError: the rows are not those that the record speaks of.
    """
    if run.record.routing is None:
        return ()
    rows = [row for row in last_rows(run) if row.posterior]
    known = set(run.record.routing.stages)
    told = [row for row in rows if row.task in known]
    tasks = list(dict.fromkeys(row.task for row in told))
    by_task = [[row for row in told if row.task == task] for task in tasks]
    return (of_tasks(by_task), of_rows(told)) if told else ()


def of_tasks(groups: Sequence[Sequence[Decision]]) -> Sheet:
    """Sum up each task's rows."""
    return Sheet(
        heading="Posterior by task",
        columns=(
            *("task", "rows", "sent to its own stage, %", "to the base model, %"),
            *("own stage's posterior, mean", "lowest", "distance, mean", "largest"),
        ),
        rows=[
            (
                rows[0].task,
                str(len(rows)),
                format.percent(fmean(row.stages.get(row.task, 0.0) for row in rows)),
                format.percent(fmean(row.stages.get(NONE, 0.0) for row in rows)),
                f"{fmean(map(own, rows)):.3f}",
                f"{min(map(own, rows)):.3f}",
                f"{fmean(row.distance for row in rows):.2f}",
                f"{max(row.distance for row in rows):.2f}",
            )
            for rows in groups
        ],
        remarks=(),
    )


def of_rows(rows: Sequence[Decision]) -> Sheet:
    """List the rows that went astray or were nearest to it, the least sure first."""
    unsure = sorted(
        rows, key=lambda row: (row.distance <= 1, own(row), -row.distance, row.task, row.row)
    )
    return Sheet(
        heading="The least sure rows",
        columns=("row", "posterior", "distance", "answered by", "answer"),
        rows=[
            (
                f"{row.task}, {row.row}",
                shares(row.posterior),
                f"{row.distance:.2f}",
                shares(row.stages) if len(row.stages) > 1 else next(iter(row.stages)),
                "right" if row.hit else "wrong",
            )
            for row in unsure[:SHOWN]
        ],
        remarks=(),
    )


def own(row: Decision) -> float:
    """Return the posterior of a row's own stage."""
    return row.posterior.get(row.task, 0.0)


def shares(named: dict[str, float]) -> str:
    """Write the three largest of some shares, the largest first."""
    largest = sorted(named.items(), key=lambda item: (-item[1], item[0]))[:3]
    return ", ".join(f"{name} {value:.3f}" for name, value in largest)
