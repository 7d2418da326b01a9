"""The report: one HTML file that needs nothing else, from the folders of finished runs.

This file decides what is shown, the views gather it, and `templates/` says how. Jinja escapes every
text, and the only markup let through are the drawings, which escape their own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amlora.errors import InputError, nearest
from amlora.printable import printable
from amlora.records.run import StoredRun as Run
from amlora.records.store import read_run
from amlora.report import format
from amlora.report.choice_view import choice_view
from amlora.report.contents import contents
from amlora.report.known import Known
from amlora.report.lines import MethodRuns, comparable
from amlora.report.paper_lines import order_of
from amlora.report.paper_view import paper_view
from amlora.report.read import labels
from amlora.report.run_view import METRICS, RunView, on_dev, run_view
from amlora.report.stream_view import StreamView, stream_view, titles

TEMPLATES = Path(__file__).with_name("templates")
FEW = 4
"""So many runs are shown in full one below the other; more are folded and their attention is not
drawn one by one."""


def build_page(runs: Sequence[Path], known: Known | None = None) -> str:
    """Return the report on one or more run folders as a self-contained HTML page.

    The same folders, in whatever order, give the same text. Nothing outside the folders is read.

    Args:
        runs: finished ones. Those scored on dev rows are listed with the choice of learning rates,
            unless there are no others.
        known: what the folders do not tell.

    Raises:
        InputError: no folder, a folder without a readable record.json, the same run twice, or the
            extra `report` is not installed, nor `stats` where several seeds make a line.
    """
    if not runs:
        raise InputError("a report needs at least one run folder.")
    try:
        import matplotlib  # noqa: F401
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise InputError(
            f"a report needs {error.name}; install it with: pip install 'amlora[report]'."
        ) from None
    known = known or Known()
    read = [read_run(folder) for folder in runs]
    labels(read)  # refuses a folder that is given twice
    shown = [run for run in read if not on_dev(run)] or read
    trials = [run for run in read if on_dev(run)] if len(shown) < len(read) else []
    groups = sorted(comparable(shown), key=lambda group: rank(group, known))
    check_reference(groups, known.against)
    few = len(shown) <= FEW
    anchors = {
        run.path: f"run-{place}"
        for place, run in enumerate((run for group in groups for run in flat(group)), start=1)
    }
    names = dict(
        zip(anchors, labels([run for group in groups for run in flat(group)]), strict=True)
    )
    views: list[list[RunView]] = []
    streams: list[StreamView] = []
    for place, (group, title) in enumerate(
        zip(groups, titles(groups, known), strict=True), start=1
    ):
        inside = flat(group)
        # Many runs stand below the heading of their stream, and need no name beyond it.
        told = [names[run.path] for run in inside] if few else labels(inside)
        views.append(
            [
                run_view(run, label, anchors[run.path], draw=few)
                for run, label in zip(inside, told, strict=True)
            ]
        )
        streams.append(
            stream_view(
                group,
                known,
                f"stream-{place}",
                title=title,
                anchors=anchors,
                labels=told if few else None,
            )
        )
    paper = paper_view(shown, known)
    choices = choice_view(known.choices, trials)
    everything = [view for found in views for view in found]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html.jinja").render(
        title=page_title(shown),
        contents=contents(streams, paper, choices, everything, folded=not few),
        streams=streams,
        paper=paper,
        choices=choices,
        groups=list(zip(streams, views, strict=True)),
        folded=not few,
        meanings=METRICS,
        text=format,
    )


def harmless(value: Any) -> Any:
    """Return what a template prints, with nothing in a text that acts."""
    return printable(value) if type(value) is str else value


def check_reference(groups: Sequence[Sequence[MethodRuns]], against: str | None) -> None:
    """Refuse a line to compare with that no stream has.

    Raises:
        InputError: naming the nearest.
    """
    names = list(dict.fromkeys(line.label for group in groups for line in group))
    if against is not None and against not in names:
        raise InputError(
            f"no line {against!r} to compare with; there are {', '.join(names)}"
            f"{nearest(against, names)}."
        )


def page_title(runs: Sequence[Run]) -> str:
    """Say what the page is about in a few words."""
    if len(runs) > 1:
        return f"{len(runs)} runs compared"
    count = len(runs[0].record.tasks)
    return f"{runs[0].record.name}: {count} task" + ("s" if count > 1 else "")


def rank(group: Sequence[MethodRuns], known: Known) -> tuple[object, ...]:
    """Return the place of a stream among others: the paper's orders first, by their numbers."""
    run = group[0].runs[0]
    record = run.record
    order = order_of(run, known.orders) or ""
    tasks = [task.name for task in record.tasks]
    names = record.model.name, record.model.fingerprint or ""
    return not order, len(order), order, tasks, *names, record.stream_digest


def flat(group: Sequence[MethodRuns]) -> list[Run]:
    """Return a stream's runs, by line and seed."""
    return [run for line in group for run in line.runs]
