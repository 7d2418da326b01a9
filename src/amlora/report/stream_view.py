"""One stream of tasks and one base model on the page: what was learned, by which methods, how well.

Only runs of the same rows and the same frozen weights stand in one of these.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amlora.records.run import StoredRun as Run
from amlora.records.schema import Record
from amlora.report.curves_view import CurvesView, curves_view, lines_of
from amlora.report.format import MISSING, count, percent
from amlora.report.known import Known
from amlora.report.lines import MethodRuns
from amlora.report.methods_render import general_sheet
from amlora.report.methods_render import sheet as methods_sheet
from amlora.report.methods_table import methods_tables
from amlora.report.old_pairs import REFERENCE, pairs_tables
from amlora.report.pairs_render import sheet as pairs_sheet
from amlora.report.paper_lines import order_of
from amlora.report.paper_table import protocol_of
from amlora.report.read import lost_texts
from amlora.report.run_view import setting
from amlora.report.study_view import StudyView, study_views
from amlora.report.typeset import Sheet

MOST_PROTOCOLS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRow:
    """A line of the methods' table, and links to its runs."""

    cells: tuple[str, ...]
    runs: tuple[tuple[str, str], ...]
    """Each run's seed and anchor, by seed; none for the model before learning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamView:
    """Everything the page shows of one stream and base model."""

    anchor: str
    title: str
    about: tuple[tuple[str, str], ...]
    tasks: Sheet
    columns: tuple[str, ...]
    methods: tuple[MethodRow, ...]
    remarks: tuple[str, ...]
    linked: bool
    """Whether the table needs a column of links, since a line has several runs."""
    general: Sheet | None
    """What learning did to texts and questions of no task."""
    pairs: Sheet | None
    against: str
    """The line that others are compared with, "" where there are no pairs."""
    pair_notes: tuple[str, ...]
    curves: CurvesView
    studies: tuple[StudyView, ...]


def stream_view(
    group: Sequence[MethodRuns],
    known: Known,
    anchor: str,
    *,
    title: str,
    anchors: Mapping[Path, str],
    labels: Sequence[str] | None,
) -> StreamView:
    """Gather what the page shows of the runs of one stream and base model.

    Args:
        group: of `comparable`.
        known: see there.
        anchor: what links to it point to; differs between the streams of a page.
        title: see `titles`.
        anchors: of the runs, by folder.
        labels: of the runs, in the order of the group, where each is drawn; None: a line per method
            is, and so are figures that a few runs show by themselves.

    Raises:
        InputError: several seeds and no scipy, or rows that are not those of their record.
    """
    runs = [run for line in group for run in line.runs]
    (table,) = methods_tables(runs, facts=known.facts, choices=known.choices)
    shown = methods_sheet(table)
    links = iter([tuple(links_of(line, anchors)) for line in group])
    against = reference(group, known.against)
    pairs, notes = compared(runs, against)
    return StreamView(
        anchor=anchor,
        title=title,
        about=about(runs, known),
        tasks=tasks(runs[0].record),
        columns=tuple(shown.columns),
        methods=tuple(
            MethodRow(cells=tuple(cells), runs=next(links) if line.method else ())
            for line, cells in zip(table.lines, shown.rows, strict=True)
        ),
        remarks=tuple(shown.remarks),
        linked=len(runs) > len(group),
        general=general_sheet(table),
        pairs=pairs,
        against=against,
        pair_notes=tuple(notes),
        curves=curves_view(lines_of(group, labels), anchor),
        studies=tuple(study_views(group, anchor, many=labels is None)),
    )


def links_of(line: MethodRuns, anchors: Mapping[Path, str]) -> list[tuple[str, str]]:
    """Return each run's seed and anchor."""
    return [(str(run.record.seed), anchors[run.path]) for run in line.runs]


def reference(group: Sequence[MethodRuns], against: str | None) -> str:
    """Return the label of the line that the others of a stream are compared with; "" for none.

    It is the line asked for, else the line called as the method that others are compared with, else
    the only line of that method.
    """
    labels = [line.label for line in group]
    for wanted in (against, REFERENCE):
        if wanted in labels and len(group) > 1:
            return wanted
    own = [line.label for line in group if line.runs[0].record.method == REFERENCE]
    return own[0] if len(own) == 1 and len(group) > 1 else ""


def compared(runs: Sequence[Run], against: str) -> tuple[Sheet | None, list[str]]:
    """Return the lines against the reference line, and what could not be compared."""
    if not against:
        return None, []
    tables, notes = pairs_tables(runs, against=against)
    return (pairs_sheet(tables[0]) if tables else None), notes


def titles(groups: Sequence[Sequence[MethodRuns]], known: Known) -> list[str]:
    """Name the streams of a page: by the paper's order, or their tasks, and as far as needed."""
    if len(groups) == 1:
        several = sum(len(line.runs) for line in groups[0]) > 1
        return ["Comparison" if several else "Result"]
    records = [group[0].runs[0].record for group in groups]
    names = [stream_name(group[0].runs[0], known) for group in groups]
    ways: tuple[Callable[[str, Record], str], ...] = (
        lambda name, record: f"{name} on {record.model.name}",
        lambda name, record: f"{name} on {record.model.name}, {sizes(record)}",
        lambda name, record: f"{name} on {record.model.name}, {digests(record)}",
    )
    found: list[str] = []
    for way in ways:
        found = [way(name, record) for name, record in zip(names, records, strict=True)]
        if len(set(found)) == len(found):
            break
    return found


def stream_name(run: Run, known: Known) -> str:
    """Name a stream in a few words."""
    if order := order_of(run, known.orders):
        return f"Order {order}"
    names = [task.name for task in run.record.tasks]
    return (
        ", ".join(names)
        if len(names) <= 5
        else f"{len(names)} tasks from {names[0]} to {names[-1]}"
    )


def sizes(record: Record) -> str:
    """Say how many rows a stream has in all."""
    train, scored = (
        sum(numbers)
        for numbers in zip(*((task.train, task.scored) for task in record.tasks), strict=True)
    )
    return f"{train:,} train rows and {scored:,} scored rows"


def rows(record: Record) -> str:
    """Say how many rows a stream has: of each task where that is one number, in all elsewhere."""
    each = {(task.train, task.scored) for task in record.tasks}
    if len(each) > 1 or len(record.tasks) == 1:
        return sizes(record)
    ((train, scored),) = each
    return f"{train:,} train rows and {scored:,} scored rows of each task"


def digests(record: Record) -> str:
    """Return what tells apart streams and base models that look alike."""
    return f"stream {record.stream_digest[:8]}, weights {(record.model.fingerprint or '')[:8]}"


def about(runs: Sequence[Run], known: Known) -> tuple[tuple[str, str], ...]:
    """Say what was learned by which model under which protocol, as names and values."""
    record = runs[0].record
    model = record.model
    told = [model.family or "", f"{count(model.parameters)} parameters" if model.parameters else ""]
    inside = ", ".join(part for part in told if part)
    order = order_of(runs[0], known.orders)
    names = [task.name for task in record.tasks]
    told_of = (
        ("model", f"{model.name} ({inside})" if inside else model.name),
        ("order of the paper", order or ""),
        ("tasks", ", ".join(names)),
        ("rows", rows(record)),
        ("protocol", protocols(runs, known)),
        ("seeds", ", ".join(map(str, sorted({run.record.seed for run in runs})))),
    )
    return tuple((name, value) for name, value in told_of if value)


def protocols(runs: Sequence[Run], known: Known) -> str:
    """Name the protocols of some runs; there should be one."""
    found = sorted({protocol(run, known) for run in runs})
    rest = len(found) - MOST_PROTOCOLS
    return "; ".join(found[:MOST_PROTOCOLS]) + (f"; and {rest} more" if rest > 0 else "")


def protocol(run: Run, known: Known) -> str:
    """Name a run's protocol: the nearest one and what differs; always prompt form and prefix."""
    if known.protocols:
        return protocol_of(run.record.settings, known.protocols)
    form = setting(run.record.settings, "stream", "form")
    prefix = setting(run.record.settings, "stream", "prefix")
    return ", ".join(
        part
        for part in (f"prompt form {form}" if form else "", f"prefix {prefix}" if prefix else "")
        if part
    )


def tasks(record: Record) -> Sheet:
    """Return the tasks in the order of learning."""
    return Sheet(
        heading="Tasks in the order of learning",
        columns=(
            *("task", "kind", "answers", "train rows", "dev rows", "test rows", "scored"),
            "most frequent answer, %",
        ),
        rows=[
            (
                task.name,
                task.category or MISSING,
                answers(task.options),
                *(f"{number:,}" for number in (task.train, task.dev, task.test, task.scored)),
                percent(task.majority),
            )
            for task in record.tasks
        ],
        remarks=tuple(lost_texts(record)),
    )


def answers(options: Sequence[str]) -> str:
    """List the possible answers, or say how many there are."""
    if not options:
        return "free text"
    listed = ", ".join(options)
    return listed if len(listed) <= 48 else f"{len(options)} options"
