"""The accuracy matrix for a terminal: printed after each task, and by `amlora show`."""

from typing import TYPE_CHECKING

from amlora.printable import one_line
from amlora.records.schema import Record
from amlora.report.matrix import Line, accuracy_lines, is_joint

if TYPE_CHECKING:
    from rich.table import Table


def record_lines(record: Record) -> tuple[list[str], list[Line]]:
    """Task names and labelled rows of a record, also of one whose run is still going."""
    names = [task.name for task in record.tasks]
    sizes = [task.scored for task in record.tasks]
    if record.boundaries:
        return names, accuracy_lines(names, sizes, record.R, found=record.boundaries.course)
    joint = is_joint(names, [stage.task for stage in record.stages])
    return names, accuracy_lines(names, sizes, record.R, joint=joint)


def matrix_rows(record: Record) -> list[list[str]]:
    """Return the matrix as text, heading first: moment, a cell per task, mean of those learned."""
    names, lines = record_lines(record)
    body = [[line.label, *(cell.text for cell in line.cells), line.mean] for line in lines]
    return [["%", *names, "mean"], *body]


def matrix_table(record: Record) -> "Table":
    """Return the matrix as a rich table: learned cells bold, tasks not learned yet dim.

    Args:
        record: its R may end after any stage.
    """
    from rich.table import Table
    from rich.text import Text

    names, lines = record_lines(record)
    # Text, never str: a task may be called "[red]", which rich would take for markup.
    table = Table(title=Text("accuracy, %"), title_justify="left", box=None, pad_edge=False)
    table.add_column(Text(""), no_wrap=True)
    for name in names:
        table.add_column(Text(one_line(name)), justify="right")
    table.add_column(Text("mean"), justify="right")
    for line in lines:
        cells = [
            Text(cell.text, style="bold" if cell.own else "dim" if cell.unseen else "")
            for cell in line.cells
        ]
        table.add_row(Text(one_line(line.label)), *cells, Text(line.mean))
    return table
