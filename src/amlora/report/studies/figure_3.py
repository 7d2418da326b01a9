"""Figure 3: each task's accuracy as later tasks arrive, with AM-LoRA and without.

"Without" is, in the paper's words, "learning a separate LoRA for each task, freezing the previous
LoRA parameters when learning the LoRA for a new task" (section 4.6): the method `inc_lora`. The
last task is not shown, since nothing arrives after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amlora.records.run import StoredRun as Run
from amlora.report.lines import MethodRuns
from amlora.report.methods_table import Figure, figure
from amlora.report.studies.groups import Subject, chosen, groups_of, seeds_of

WITH, WITHOUT = "am_lora", "inc_lora"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line's accuracy on one task: `values[k]` is k stages after the task's own, fractions."""

    label: str
    mixed: bool
    """Whether the line is one "with"."""
    seeds: tuple[int, ...]
    values: tuple[Figure | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSeries:
    """One task; `learned` is the number of its stage, 1 for the first."""

    task: str
    learned: int
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure3:
    """The figure of one stream and base model: all of its tasks but the last."""

    subject: Subject
    with_: str
    without: str
    tasks: tuple[TaskSeries, ...]


def figure_3(
    runs: Sequence[Run],
    *,
    with_: str = WITH,
    without: str = WITHOUT,
    labels: Mapping[Path, str] | None = None,
) -> list[Figure3]:
    """Return one figure for each stream and base model that both kinds of runs have learned.

    Args:
        runs: finished ones.
        with_: a line's label, or the name or method of runs; several lines are all shown.
        without: the same for what stands beside it.
        labels: see `groups_of`.
    """
    found: list[Figure3] = []
    for group in groups_of(runs, labels):
        first, second = chosen(group, with_), chosen(group, without)
        tasks = group.subject.tasks
        if not first or not second or len(tasks) < 2:
            continue
        shown = tuple(
            TaskSeries(
                task=task,
                learned=stage,
                series=(
                    *(series_of(line, stage, mixed=True) for line in first),
                    *(series_of(line, stage, mixed=False) for line in second if line not in first),
                ),
            )
            for stage, task in enumerate(tasks[:-1], start=1)
        )
        found.append(Figure3(subject=group.subject, with_=with_, without=without, tasks=shown))
    return found


def series_of(line: MethodRuns, stage: int, *, mixed: bool) -> Series:
    """Return the mean over seeds of the scores on the stage's task, from that stage on."""
    columns = zip(
        *([row[stage - 1] for row in run.record.R[stage:]] for run in line.runs), strict=True
    )
    return Series(
        label=line.label,
        mixed=mixed,
        seeds=seeds_of(line.runs),
        values=tuple(figure(values) for values in columns),
    )
