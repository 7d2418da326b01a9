"""The paper's figures and the studies beside them on the page, each with its numbers as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amlora.report.lines import MethodRuns
from amlora.report.panel import Panel
from amlora.report.paper_figures import Name, studies
from amlora.report.studies.study import Study, key_svg, panel_svg
from amlora.report.typeset import Sheet

if TYPE_CHECKING:
    from markupsafe import Markup

FIGURES: dict[Name, str] = {
    "3": "Figure 3",
    "4": "Figure 4",
    "5": "Figure 5",
    "sparsity": "Weight of L1",
    "picks": "Right picks",
}
WIDE = 3.8  # inches
MOST_PANELS = 16  # of one study; the table has the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """One figure on the page."""

    anchor: str
    title: str
    short: str
    """Its title in the list of contents."""
    about: str
    panels: tuple[Panel, ...]
    wide: bool
    """Whether two panels fill a line of the page, and not three."""
    legend: tuple[tuple["Markup", str], ...]
    """A sample and what it stands for."""
    not_drawn: tuple[str, ...]
    """Titles of panels that are in the table alone."""
    numbers: Sheet
    words: int
    """How many columns at the left of the table are words."""
    notes: tuple[str, ...]


def study_views(group: Sequence[MethodRuns], anchor: str, *, many: bool) -> list[StudyView]:
    """Return all figures that the runs of one stream allow, in the paper's order.

    Args:
        group: the lines of one stream and base model.
        anchor: of the stream.
        many: whether there are more runs than the page shows in full; few show their own attention,
            and figure 4 would be the same again.

    Raises:
        InputError: seeds of a line with attention over other modules.
    """
    runs = [run for line in group for run in line.runs]
    labels = {run.path: line.label for line in group for run in line.runs}
    views: list[StudyView] = []
    for name, short in FIGURES.items():
        found = studies(name, runs, labels=labels) if many or name != "4" else []
        for place, study in enumerate(found, start=1):
            told = short if len(found) == 1 else f"{short}, {place} of {len(found)}"
            views.append(study_view(study, told, f"{anchor}-figure-{len(views) + 1}"))
    return views


def study_view(study: Study, short: str, anchor: str) -> StudyView:
    """Draw a figure, or as much of it as a page can bear."""
    from markupsafe import Markup

    drawn, rest = study.panels[:MOST_PANELS], study.panels[MOST_PANELS:]
    return StudyView(
        anchor=anchor,
        title=study.title,
        short=short,
        about=study.about,
        panels=tuple(
            Panel(title=panel.title, svg=Markup(panel_svg(panel, f"{anchor}-{place}")))
            for place, panel in enumerate(drawn)
        ),
        wide=study.columns < 3 or any(panel.width > WIDE for panel in drawn),
        legend=tuple(
            (Markup(key_svg(key, f"{anchor}-key-{place}")), key.label)
            for place, key in enumerate(study.legend)
        ),
        not_drawn=tuple(panel.title for panel in rest),
        numbers=Sheet(heading=study.title, columns=study.headings, rows=study.rows, remarks=()),
        words=study.words,
        notes=study.notes,
    )
