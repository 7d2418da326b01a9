"""The accuracy matrix as a reader sees it: labelled rows of cells with intervals and marks.

The terminal's table, printed after each task and by `amlora show`, and the page's are two
renderings of these rows. A record's R may end after any stage, while its run is still going.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amlora.evaluate.course import Course, at_once, one_by_one
from amlora.evaluate.lost import lost_lines
from amlora.evaluate.metrics import mean_or_none
from amlora.evaluate.statistics import wilson_interval
from amlora.printable import one_line
from amlora.records.schema import Record
from amlora.report.format import percent, points

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One score."""

    value: float | None
    title: str
    own: bool = False
    """The row is the stage that learned this task."""
    unseen: bool = False
    """The task has not been learned yet."""
    change: str = ""
    """Points against the row before, in the rows of a newcomer's entry alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One moment: its label, a cell per task, and the mean over the tasks learned so far."""

    label: str
    cells: tuple[Cell, ...]
    mean: str


def course_of(record: Record) -> Course | None:
    """Return when each task was learned; None where one stage was made to learn all.

    That stage bears another name than the first task's.
    """
    if record.boundaries is not None:
        return record.boundaries.course
    first = record.tasks[0].name
    joint = len(record.tasks) > 1 and [stage.task for stage in record.stages] != [first]
    return None if joint and len(record.stages) == 1 else one_by_one(len(record.tasks))


def moment(record: Record, after: int, phase: str = "learned") -> str:
    """Say when an evaluation took place: after a stage, 0 for the first; -1 before learning."""
    if after < 0:
        return "before learning"
    joint = course_of(record) is None
    name = "all tasks" if joint else record.tasks[min(after, len(record.tasks) - 1)].name
    name = name if record.boundaries is None else f"stage {after + 1}"
    return f"{name} enters" if phase == "entered" else f"after {name}"


def interval_text(value: float | None, n: int) -> str:
    """Score with its Wilson interval: "78.3 % of 60 rows; 95 % interval 66.4 to 86.9 %"."""
    if value is None:
        return "not measured"
    low, high = wilson_interval(round(value * n), n)
    told = f"{percent(value)} % of {n:,} row{'s' * (n != 1)}"
    return f"{told}; 95 % interval {percent(low)} to {percent(high)} %"


def accuracy_lines(record: Record, *, entered: bool = False) -> list[Line]:
    """Turn R into labelled rows, one for each moment at which a task was scored.

    With `entered` the rows "newcomer entered, not yet trained", with their changes: the entry of
    stage k is compared with R[k], the row just before.
    """
    found = course_of(record)
    course = found or at_once(len(record.tasks))
    rows = zip(record.entered_stages, record.entered, strict=True) if entered else ()
    lines: list[Line] = []
    for stage, row in rows or enumerate(record.R):
        if all(value is None for value in row):
            continue  # nothing was scored at this moment
        label = moment(record, stage, "entered") if entered else moment(record, stage - 1)
        cells: list[Cell] = []
        for at, (task, value) in enumerate(zip(record.tasks, row, strict=True)):
            title = f"{task.name}, {label}: {interval_text(value, task.scored)}"
            change, old = "", record.R[stage][at]
            if entered and value is not None and old is not None:
                change, title = points(value - old), f"{title}; {percent(old)} % just before"
            own = found is not None and not entered and stage == course.learned[at]
            unseen = stage < course.first[at]
            cells.append(Cell(value=value, title=title, own=own, unseen=unseen, change=change))
        mean = percent(mean_or_none(row[: course.begun(stage)]))
        lines.append(Line(label=label, cells=tuple(cells), mean=mean))
    return lines


def matrix_rows(record: Record) -> list[list[str]]:
    """Return the matrix as text, heading first: moment, a cell per task, mean of those learned."""
    body = [
        [line.label, *(percent(cell.value) for cell in line.cells), line.mean]
        for line in accuracy_lines(record)
    ]
    return [["%", *(task.name for task in record.tasks), "mean"], *body]


def matrix_table(record: Record) -> "Table":
    """Return the matrix as a rich table: learned cells bold, tasks not learned yet dim."""
    from rich.table import Table
    from rich.text import Text

    # Text, never str: a task may be called "[red]", which rich would take for markup.
    table = Table(title=Text("accuracy, %"), title_justify="left", box=None, pad_edge=False)
    table.add_column(Text(""), no_wrap=True)
    for name in (*(task.name for task in record.tasks), "mean"):
        table.add_column(Text(one_line(name)), justify="right")
    for line in accuracy_lines(record):
        cells = [
            Text(percent(cell.value), style="bold" if cell.own else "dim" if cell.unseen else "")
            for cell in line.cells
        ]
        table.add_row(Text(one_line(line.label)), *cells, Text(line.mean))
    return table


def lost_texts(record: Record) -> list[str]:
    """Say what tokenising lost of each task's texts; nothing where nothing is, or none counted."""
    longest = record.settings.get("model", {}).get("max_tokens", 0)
    lines: list[str] = []
    for task in record.tasks:
        rows = {"train": task.train, "dev": task.dev, "test": task.test}
        counts = {name: (lost, rows[name]) for name, lost in task.lost.items() if name in rows}
        lines += lost_lines(task.name, counts, longest)
    return lines
