"""Tables of a skills folder: skills by version and what changed, flipped rows, versions."""

from pandas import DataFrame

from amlora.records.folder import Folder, Version
from amlora.records.skills import Change, Metric
from amlora.records.states import Flip, flips
from amlora.report.format import MISSING, percent, points
from amlora.report.skills import (
    counted,
    general_lines,
    quality,
    refusal,
    shortened,
    skill_text,
)
from amlora.report.write import Sheet

VERSIONS = 6
"""Columns of versions that a table for a terminal has at most; the page has all."""
UNITS: dict[Metric, str] = {"exact": "", "f1": "F1", "rouge-l": "ROUGE-L", "loss": "% a token"}
LEGEND = (
    "Scores: mean of the kept rows, in hundredths; of right and wrong answers, per cent.",
    "change: against the version before, with the 95 % score interval of the paired change.",
    "identical: no kept row has another answer.",
    "safe: shown not to have lost more than the limit; worse: shown to have; undecided: neither.",
)


def skills_sheet(folder: Folder, version: Version) -> Sheet:
    """Return the skills of a version: their scores in it and in its ancestors, what changed."""
    line = folder.line(version)
    drawn = line[-VERSIONS:]
    changes = {each.skill: each for each in version.standing.changes}
    scores = scores_over(folder, version)
    shown: list[dict[str, str]] = []
    values: list[dict[str, object]] = []
    for skill, over in scores.items():
        change = changes.get(skill)
        learned = version.learned.get(skill)
        metric = learned.metric if learned else change.metric if change else "exact"
        unit = f" ({UNITS[metric]})" if UNITS[metric] else ""
        numbers = {f"v{each.number}": over.get(each.number) for each in line}
        shown.append(
            {
                "skill": f"{skill}{unit}",
                **{f"v{each.number}": percent(over.get(each.number)) for each in drawn},
                "change": change_text(change),
                "answers changed": answers_text(change),
                "prompts lost to": lost_text(change),
            }
        )
        told = change.model_dump() if change else {}
        told |= {"skill": skill, "metric": metric, **numbers}
        values.append(told)
    gate = version.standing.gate
    left = len(line) - len(drawn)
    notes = [
        *(f"no skill: {told}" for told in general_lines(version)),
        *[f"refused: {refusal(gate)}"] * (not gate.passed),
        *(f"undecided: {told}" for told in gate.undecided),
        *[f"{left} earlier versions are not shown."] * bool(left),
    ]
    return Sheet(
        title=f"{folder.name}: version {version.number}, {folder.role(version)}",
        about=[f"on {folder.base}; limit of the gate: {gate.max_drop:.1f} points"],
        values=DataFrame(values),
        shown=DataFrame(shown),
        words=("skill", "change", "answers changed", "prompts lost to"),
        notes=notes,
        legend=LEGEND,
    )


def scores_over(folder: Folder, version: Version) -> dict[str, dict[int, float | None]]:
    """Return each skill's mean score in a version and its ancestors that have it, by number.

    Skills bear the names of the version; those that it has no more come last.
    """
    line = folder.line(version)
    found: dict[str, dict[int, float | None]] = {skill: {} for skill in version.learned}
    for each in line:
        names = folder.renamed(each, version)
        for skill in each.learned:
            found.setdefault(names.get(skill, skill), {})[each.number] = each.state.score(skill)
    return found


def change_text(change: Change | None) -> str:
    """Write what the version before says of a skill in this one."""
    if change is None or change.verdict in ("new", "gone"):
        return MISSING if change is None else change.verdict
    if change.verdict == "identical":
        return "none: identical"
    if change.change is None or change.interval is None:
        return f"not known: {change.verdict}"
    low, high = points(change.interval.low), points(change.interval.high)
    return f"{points(change.change)} ({low} to {high}): {change.verdict}"


def answers_text(change: Change | None) -> str:
    """Write how many answers changed; of vectors, how many prompts moved."""
    if change is None or change.verdict in ("new", "gone"):
        return MISSING
    if change.changed is None:
        return f"{change.moved} of {change.kept} prompts moved" if change.kept else "nothing kept"
    return f"{change.changed} of {change.kept}"


def lost_text(change: Change | None) -> str:
    """Name who answers the prompts that moved."""
    if change is None or change.verdict == "gone":
        return MISSING
    return f"{change.moved} to {counted(change.lost_to)}" if change.moved else "nobody"


def flips_of(folder: Folder, version: Version) -> list[tuple[Change, list[Flip]]]:
    """Return each skill's rows that the version before answered otherwise, worst skill first."""
    parent = folder.parent(version)
    if parent is None:
        return []
    before = parent.state.renamed(version.standing.renamed)
    found = [
        (each, flips(before, version.state, each.skill))
        for each in version.standing.changes
        if each.skill in before.kept and each.skill in version.kept
    ]
    return [(change, rows) for change, rows in found if rows]


def flips_table(change: Change, rows: list[Flip], most: int, letters: int) -> DataFrame:
    """Return flipped rows as text: what was asked, who answered what, and how that went."""
    listed = [
        {
            "text": shortened(flip.row.text, letters),
            "right answer": shortened(flip.row.label, letters),
            "answered by": skill_text(flip.before.by),
            "answer": shortened(flip.before.answer, letters) or MISSING,
            "now by": skill_text(flip.after.by),
            "answer now": shortened(flip.after.answer, letters) or MISSING,
            "how it went": " \N{RIGHTWARDS ARROW} ".join(
                quality(reply.score, change.metric) for reply in (flip.before, flip.after)
            ),
            "row": flip.row.row,
        }
        for flip in rows[:most]
    ]
    return DataFrame(listed)


def skills_frame(folder: Folder) -> DataFrame:
    """Return every skill of every version: its score, and what the version before says of it.

    Columns: version, parent, in_use, skill, metric, score (in this version), own (right after
    learning), kept, moved, changed, change, low, high, verdict, power, needed.
    """
    rows: list[dict[str, object]] = []
    for version in folder.versions:
        changes = {each.skill: each for each in version.standing.changes}
        for skill, learned in version.learned.items():
            change = changes.get(skill)
            ends = change.interval if change and change.change is not None else None
            rows.append(
                {
                    "version": version.number,
                    "parent": version.parent,
                    "in_use": version.in_use,
                    "skill": skill,
                    "metric": learned.metric,
                    "score": version.state.score(skill),
                    "own": learned.score,
                    "kept": version.state.size(skill),
                    "moved": change.moved if change else None,
                    "changed": change.changed if change else None,
                    "change": change.change if change else None,
                    "low": ends.low if ends else None,
                    "high": ends.high if ends else None,
                    "verdict": change.verdict if change else None,
                    "power": change.power if change else None,
                    "needed": change.needed if change else None,
                }
            )
    return DataFrame(rows)
