"""The page of a skills folder: one HTML file without scripts, from what its versions say.

This file gathers what is shown; `templates/skills.html.jinja` says how.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pandas import DataFrame

from amlora.records.folder import Folder, Version
from amlora.records.frames import flat
from amlora.records.skills import Change, Learned
from amlora.report.format import MISSING, percent, points
from amlora.report.matrix import Cell
from amlora.report.page import MOST_PANELS, page_environment
from amlora.report.run_page import named
from amlora.report.skills import general_lines, refusal, score_text
from amlora.report.skills_table import (
    LEGEND,
    answers_text,
    flips_of,
    flips_table,
    lost_text,
    scores_over,
)
from amlora.report.style import LEVEL_LOOK, Panel, line_look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 50
"""Flipped rows of a skill that are listed."""
LETTERS = 240
"""Of their texts."""
LOSSES = {"train rows": line_look(0), "stop rows": line_look(1), "kept weights": LEVEL_LOOK}


def build_skills_page(folder: Folder, version: Version) -> str:
    """Return the report on a version as a self-contained HTML page; equal folders, equal text.

    Args:
        folder: with all its versions.
        version: the one that is shown, with its ancestors.

    Raises:
        InputError: a version of them whose rows do not fit together.
    """
    environment = page_environment()
    gate = version.standing.gate
    # Below a dot `flat` leaves no name out.
    learned = [
        (skill, facts(each), [(name[1:], value) for name, value in flat(".", each.settings)])
        for skill, each in version.learned.items()
    ]
    return environment.get_template("skills.html.jinja").render(
        folder=folder,
        version=version,
        line=folder.line(version),
        matrix=matrix_rows(folder, version),
        changes=changes_table(version),
        flips=[
            (change, flips_table(change, rows, ROWS, LETTERS), len(rows))
            for change, rows in flips_of(folder, version)
        ],
        general=general_lines(version),
        versions=versions_table(folder),
        refused=[] if gate.passed else [f"Refused: {refusal(gate)}."],
        undecided=[f"Undecided: {line}." for line in gate.undecided],
        learned=learned,
        table=learned_table(version),
        curves=[loss_panel(skill, each) for skill, each in version.learned.items()][-MOST_PANELS:],
        losses=LOSSES,
        legend=LEGEND,
        rows=ROWS,
    )


def matrix_rows(folder: Folder, version: Version) -> list[tuple[str, list[Cell]]]:
    """Return each skill's scores over a version and its ancestors, the oldest first."""
    found: list[tuple[str, list[Cell]]] = []
    then = [
        (each, {new: old for old, new in folder.renamed(each, version).items()})
        for each in folder.line(version)
    ]
    for skill, over in scores_over(folder, version).items():
        cells: list[Cell] = []
        for each, names in then:
            name = names.get(skill, skill)
            if name not in each.learned:
                cells.append(Cell(value=None, title="", unseen=True))
                continue
            value, metric = over[each.number], each.learned[name].metric
            said = "no texts kept" if value is None else score_text(value, metric)
            title = f"{name}, version {each.number}: {said} of {each.state.size(name)} kept rows"
            own = each.standing.did in ("learn", "update") and each.standing.skill == name
            cells.append(Cell(value=value, title=title, own=own))
        found.append((skill, cells))
    return found


def changes_table(version: Version) -> DataFrame:
    """Return what the version before says of each skill, as text, worst first."""
    return DataFrame([change_row(each) for each in version.standing.changes])


def change_row(change: Change) -> dict[str, str]:
    """Return one skill's row of the table of changes."""
    ends = change.interval if change.change is not None else None
    return {
        "skill": change.skill,
        "verdict": change.verdict,
        "before": percent(change.before),
        "after": percent(change.after),
        "change": points(change.change),
        "95 % interval": f"{points(ends.low)} to {points(ends.high)}" if ends else MISSING,
        "answers changed": answers_text(change),
        "prompts lost to": lost_text(change),
        "power, %": percent(change.power),
        "rows for 80 %": MISSING if change.needed is None else f"{change.needed:,}",
    }


def versions_table(folder: Folder) -> DataFrame:
    """Return all versions as text, the newest first."""
    return DataFrame(
        [
            {
                "version": str(each.number),
                "made from": MISSING if each.parent is None else str(each.parent),
                "what": f"{each.standing.did} {each.standing.skill}",
                "state": folder.role(each),
                "skills": str(len(each.learned)),
                "gate": "passed" if each.standing.gate.passed else "refused",
                "why": "; ".join([*each.standing.gate.refused, *each.standing.gate.undecided]),
            }
            for each in reversed(folder.versions)
        ]
    )


def learned_table(version: Version) -> DataFrame:
    """Return how each skill was learned, as text."""
    return DataFrame(
        [
            {
                "skill": skill,
                "score": score_text(each.score, each.metric),
                "95 % interval": f"{percent(each.interval.low)} to {percent(each.interval.high)}",
                "before learning": percent(each.zero_shot),
                "most frequent answer": percent(each.majority),
                "train rows": f"{each.rows.get('train', 0):,}",
                "steps": f"{each.steps:,}",
                "best at": f"{each.best:,}",
                "uses": ", ".join(each.uses.names) or "nothing",
            }
            for skill, each in version.learned.items()
        ]
    )


def facts(learned: Learned) -> dict[str, str]:
    """Return what else is told of how a skill was learned."""
    tried = ", ".join(
        f"{name} {percent(score)}"
        + (f" (loss {learned.uses.losses[name]:.3f})" if name in learned.uses.losses else "")
        for name, score in learned.uses.scores.items()
    )
    return {
        "data": learned.data,
        "rows": ", ".join(f"{count:,} {split}" for split, count in learned.rows.items()),
        "dropped": f"{learned.duplicates:,} duplicates, {learned.contradictions:,} of them with"
        " another answer",
        "prompts that others took for theirs": named(learned.overlap),
        "uses": f"{', '.join(learned.uses.names) or 'nothing'}: {learned.uses.why}",
        "tried on its own rows": tried,
        "read in training": f"{learned.tokens:,} tokens",
        "time": named(learned.seconds, times=True),
        "digest of rows and words": learned.digest,
        "made with": named(learned.environment),
    }


def loss_panel(skill: str, learned: Learned) -> Panel:
    """Return a drawing of a skill's losses over its steps."""
    return Panel(
        title=skill,
        label=f"Losses of {skill} over its steps, nats a token",
        paint=loss_curve(learned),
        size=(2.6, 1.8),
    )


def loss_curve(learned: Learned) -> Callable[["Axes"], None]:
    """Return what paints the losses of train and stop rows, and the step that was kept."""

    def paint(axes: "Axes") -> None:
        steps = [step for step, *_ in learned.losses]
        looks: list[Any] = [*LOSSES.values()]
        for at, look in enumerate(looks[:2], start=1):
            axes.plot(steps, [entry[at] for entry in learned.losses], **look, markevery=[-1])
        if learned.best:
            axes.axvline(learned.best, **looks[2])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("steps")

    return paint
