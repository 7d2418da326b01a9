"""Each task's score over the stages: one line per run, or per method where there are many runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from amlora.evaluate.metrics import mean_or_none
from amlora.records.run import StoredRun as Run
from amlora.report import figures
from amlora.report.format import percent
from amlora.report.lines import MethodRuns
from amlora.report.panel import Panel
from amlora.report.run_view import joint
from amlora.report.typeset import Sheet

if TYPE_CHECKING:
    from markupsafe import Markup

MOST_LINES = 14  # in one small panel; of more, one line per method is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveLine:
    """One line: its label, and the runs that it is the mean of."""

    label: str
    runs: tuple[Run, ...]

    @property
    def stages(self) -> int:
        """How many stages the line has when its runs are done."""
        found = self.runs[0].record.boundaries
        return len(self.runs[0].record.tasks) if found is None else found.course.stages

    def learned(self, column: int) -> int | None:
        """Return the stage that learned a task, None where one learned all."""
        found = self.runs[0].record.boundaries
        if found is not None:
            return found.learned[column]
        return None if self.joint else column + 1

    @property
    def joint(self) -> bool:
        """Whether one stage learned all tasks."""
        return joint(self.runs[0].record)

    def scores(self, column: int) -> tuple[float | None, ...]:
        """Return the mean score on a task after each stage, as far as all runs have come."""
        stages = zip(*([row[column] for row in run.record.R] for run in self.runs), strict=False)
        return tuple(mean_or_none(scores) for scores in stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendEntry:
    """How a line looks, what it is, and a word on it where it is no line of stages."""

    sample: "Markup"
    label: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvesView:
    """A panel per task, and the same numbers, of all lines, as a table."""

    panels: tuple[Panel, ...]
    legend: tuple[LegendEntry, ...]
    means: bool
    """Whether a line is a mean over seeds."""
    not_drawn: tuple[str, ...]
    """Labels of lines that are in the table alone."""
    numbers: Sheet


def curves_view(lines: Sequence[CurveLine], salt: str) -> CurvesView:
    """Draw the lines of one stream.

    Args:
        lines: at least one.
        salt: differs between the streams of a page.
    """
    drawn = drawn_lines(lines)
    labels = {line.label for line in drawn}
    return CurvesView(
        panels=tuple(panels(drawn, salt)),
        legend=tuple(legend(place, line, salt) for place, line in enumerate(drawn)),
        means=any(len(line.runs) > 1 for line in drawn),
        not_drawn=tuple(line.label for line in lines if line.label not in labels),
        numbers=numbers(lines),
    )


def lines_of(groups: Sequence[MethodRuns], labels: Sequence[str] | None) -> list[CurveLine]:
    """Return a line per run, or, without labels, a line per method.

    Args:
        groups: the methods' runs.
        labels: of all runs, in the order of the methods and their seeds.
    """
    if labels is None:
        return [CurveLine(label=group.label, runs=group.runs) for group in groups]
    runs = [run for group in groups for run in group.runs]
    return [CurveLine(label=label, runs=(run,)) for label, run in zip(labels, runs, strict=True)]


def drawn_lines(lines: Sequence[CurveLine]) -> list[CurveLine]:
    """Return the lines that are drawn: all, or the first per method, that of its name if there.

    Still too many are cut off.
    """
    if len(lines) <= MOST_LINES:
        return list(lines)
    chosen: dict[str, str] = {}
    for line in lines:
        method = line.runs[0].record.method
        if chosen.setdefault(method, line.label) != method and line.label == method:
            chosen[method] = method
    return [line for line in lines if line.label in chosen.values()][:MOST_LINES]


def panels(lines: Sequence[CurveLine], salt: str) -> list[Panel]:
    """One panel per task of the stream, in its order."""
    from markupsafe import Markup

    made: list[Panel] = []
    tasks = lines[0].runs[0].record.tasks
    for column, task in enumerate(tasks):
        found = [
            figures.Curve(
                run=place,
                values=line.scores(column),
                learned=line.learned(column),
            )
            for place, line in enumerate(lines)
        ]
        svg = figures.curves(
            found,
            max(line.stages for line in lines),
            salt=f"{salt}-curve-{column}",
            label=f"Accuracy on {task.name} after each stage",
        )
        made.append(Panel(title=task.name, svg=Markup(svg)))
    return made


def legend(place: int, line: CurveLine, salt: str) -> LegendEntry:
    """Draw how a line looks."""
    from markupsafe import Markup

    sample = figures.sample(
        place, joint=line.joint, salt=f"{salt}-legend-{place}", label=f"Line of {line.label}"
    )
    note = "level: all tasks at once" if line.joint else ""
    return LegendEntry(sample=Markup(sample), label=line.label, note=note)


def numbers(lines: Sequence[CurveLine]) -> Sheet:
    """Return all lines' scores, task by task; a joint run has no stages between first and last."""
    tasks = [task.name for task in lines[0].runs[0].record.tasks]
    most = max(line.stages for line in lines)
    reached = max(most if line.joint else len(line.scores(0)) - 1 for line in lines)
    found = any(line.runs[0].record.boundaries for line in lines)
    names = [f"stage {stage}" for stage in range(1, most + 1)] if found else tasks
    rows: list[tuple[str, ...]] = []
    for column, task in enumerate(tasks):
        for line in lines:
            scores = line.scores(column)
            if line.joint:
                scores = (scores[0], *[None] * (most - 1), scores[-1])
            cells = (percent(score) for score, _ in zip_longest(scores, range(reached + 1)))
            rows.append((task, line.label, *cells))
    return Sheet(
        heading="Accuracy on each task after each stage, per cent",
        columns=("task", "line", "before", *(f"after {name}" for name in names[:reached])),
        rows=rows,
        remarks=(),
    )
