"""The accuracy matrix as a reader sees it: labelled rows of cells with intervals and marks.

The terminal table and the page's table are two renderings of these rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from amlora.evaluate.course import Course, one_by_one
from amlora.evaluate.metrics import mean_or_none
from amlora.evaluate.statistics import wilson_interval
from amlora.report.format import percent, points

Row = Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One score; `change` is against the row before, only in the rows of a newcomer's entry."""

    value: float | None
    title: str = ""
    own: bool = False
    """The row is the stage that learned this task."""
    unseen: bool = False
    """The task has not been learned yet."""
    change: float | None = None

    @property
    def text(self) -> str:
        """The score in per cent."""
        return percent(self.value)

    @property
    def change_text(self) -> str:
        """The change in points, "" where there is none."""
        return "" if self.change is None else points(self.change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One moment: its label, a cell per task, and the mean over the tasks learned so far."""

    label: str
    cells: tuple[Cell, ...]
    mean: str


def is_joint(names: Sequence[str], stages: Sequence[str]) -> bool:
    """Whether one stage learned all tasks: it then bears another name than the first task's."""
    return len(names) > 1 and len(stages) == 1 and stages[0] != names[0]


def interval_text(value: float | None, n: int) -> str:
    """Score with its Wilson interval: "78.3 % of 60 rows; 95 % interval 66.4 to 86.9 %"."""
    if value is None:
        return "not measured"
    low, high = wilson_interval(round(value * n), n)
    told = f"{percent(value)} % of {n:,} row{'s' * (n != 1)}"
    return f"{told}; 95 % interval {percent(low)} to {percent(high)} %"


def name_of(stage: int, names: Sequence[str], found: Course | None) -> str:
    """Return what a stage, from 1, is called: its number where stages are not tasks."""
    return f"stage {stage}" if found else names[stage - 1]


def accuracy_lines(
    names: Sequence[str],
    sizes: Sequence[int],
    R: Sequence[Row],
    *,
    joint: bool = False,
    found: Course | None = None,
) -> list[Line]:
    """Turn R into labelled rows, one for each moment at which a task was scored.

    Args:
        names: (T,) tasks in the order of learning.
        sizes: (T,) test rows.
        R: (moments, T), row 0 before any learning; may end early when a run is still going.
        joint: all tasks are learned in one stage.
        found: stages are not tasks.
    """
    course = found or one_by_one(len(names))
    lines: list[Line] = []
    for stage, row in enumerate(R):
        if all(value is None for value in row):
            continue  # nothing was scored at this moment
        after = "all tasks" if joint else name_of(stage, names, found) if stage else ""
        label = f"after {after}" if stage else "before learning"
        cells = tuple(
            Cell(
                value=value,
                title=f"{name}, {label}: {interval_text(value, n)}",
                own=not joint and stage == course.learned[at],
                unseen=stage == 0 or (not joint and stage < course.first[at]),
            )
            for at, (name, value, n) in enumerate(zip(names, row, sizes, strict=True))
        )
        known = row if joint and stage else row[: course.begun(stage)]
        lines.append(Line(label=label, cells=cells, mean=percent(mean_or_none(known))))
    return lines


def entered_lines(
    names: Sequence[str],
    sizes: Sequence[int],
    R: Sequence[Row],
    entered: Sequence[Row],
    stages: Sequence[int],
    *,
    found: Course | None = None,
) -> list[Line]:
    """Turn the rows "newcomer entered, not yet trained" into labelled rows with their changes.

    Args:
        names: (T,) tasks.
        sizes: (T,) test rows.
        R: the accuracy matrix; the entry of stage k is compared with R[k], the row just before.
        entered: (entries, T) scores after a stage's LoRA entered and before it learned anything.
        stages: (entries,) the stage of each, 0 for the first.
        found: stages are not tasks.
    """
    course = found or one_by_one(len(names))
    lines: list[Line] = []
    for stage, row in zip(stages, entered, strict=True):
        label = f"{name_of(stage + 1, names, found)} enters"
        cells: list[Cell] = []
        for at, (value, old) in enumerate(zip(row, R[stage], strict=True)):
            change = None if value is None or old is None else value - old
            title = f"{names[at]}, {label}: {interval_text(value, sizes[at])}"
            before = "" if change is None else f"; {percent(old)} % just before"
            unseen = stage < course.first[at]
            cells.append(Cell(value=value, title=title + before, unseen=unseen, change=change))
        mean = percent(mean_or_none(row[: course.begun(stage)]))
        lines.append(Line(label=label, cells=tuple(cells), mean=mean))
    return lines
