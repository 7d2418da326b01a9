"""A skills folder in lines of text: the end of `learn`, two versions compared, and all of them.

Whatever stands in a text, a skill's name or a folder's, a line stays one and does nothing.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence

from amlora.printable import aligned, one_line
from amlora.records.folder import Folder, Version
from amlora.records.skills import NO_SKILL, Change, Gate, Learned, Metric
from amlora.records.states import SAME, Flip, State, flips
from amlora.report.format import MINUS, MISSING, percent, points

SHOWN = 5  # flipped rows of a skill, in lines of text
CHANGED = 12  # skills that are told one by one, and things that could not be told
NAMED = 5  # unchanged skills that are called by their names
LETTERS = 60  # of a text
SCORES: dict[Metric, str] = {
    "exact": "{} %",
    "f1": "F1 {}",
    "rouge-l": "ROUGE-L {}",
    "loss": "{} % a token",
}
"""How a score is written; all are hundredths, so that a point is the same of all."""


def learn_lines(folder: Folder, version: Version) -> list[str]:
    """Say what a version changed, as at the end of `learn`, and what comes next."""
    standing, parent = version.standing, folder.parent(version)
    lines = done_lines(version)
    before = parent.state.renamed(standing.renamed) if parent else None
    lines += change_lines(standing.changes, before, version.state)
    lines += drift_lines(folder, version)
    if again := standing.checked + standing.differed:
        rows = f"{again} row{'s' * (again > 1)}"
        same = "all identical"
        if standing.differed:
            same = f"{standing.checked} identical, {standing.differed} otherwise by rounding"
        lines.append(f"{rows} whose route did not change: answered once more, {same}")
    lines += general_lines(version)
    doubts = standing.gate.undecided
    lines += [f"undecided: {line}" for line in doubts[:CHANGED]]
    lines += [f"undecided: {len(doubts) - CHANGED} more"] * (len(doubts) > CHANGED)
    return [one_line(line) for line in [*lines, *outcome_lines(folder, version)]]


def done_lines(version: Version) -> list[str]:
    """Say what was done: of a skill that was learned, how well it answers."""
    standing, skill = version.standing, version.standing.skill
    if standing.did == "remove":
        return [f"{skill} is removed"]
    if standing.did == "rename":
        return [f"{old} is called {new} now" for old, new in standing.renamed.items()]
    return [newcomer_line(skill, version.learned[skill], standing.changes)]


def newcomer_line(skill: str, learned: Learned, changes: Sequence[Change]) -> str:
    """Say how well a skill answers that was just learned, and how much of it is reached."""
    low, high = learned.interval.low, learned.interval.high
    said = f"{skill} {score_text(learned.score, learned.metric)} {ends_text(low, high)}"
    own = next((each for each in changes if each.skill == skill and each.verdict == "new"), None)
    if own is None or not own.moved:
        return said
    where = counted(own.lost_to)
    now = f"; {score_text(own.after, own.metric)} with them" if own.after is not None else ""
    return f"{said}, but {own.moved} of its {own.kept} prompts go to {where}{now}"


def change_lines(changes: Iterable[Change], before: State | None, after: State) -> list[str]:
    """Say what each skill lost or won, its flipped rows below it, then which did not change.

    Args:
        changes: worst first; skills that only one of both versions has are not told.
        before: of the version that the changes are against, under the names of the other one.
        after: of the version that changed.
    """
    lines: list[str] = []
    loud = [each for each in changes if each.verdict in ("worse", "undecided", "safe")]
    for each in loud[:CHANGED]:
        lines.append(changed_line(each))
        if before is not None and each.skill in before.kept:
            found = flips(before, after, each.skill)
            lines += [f"    {flip_line(flip, each.metric)}" for flip in found[:SHOWN]]
            lines += [f"    and {len(found) - SHOWN} more"] * (len(found) > SHOWN)
    if rest := loud[CHANGED:]:
        known = [each.change for each in rest if each.change is not None]
        ends = f", by {ends_text(min(known), max(known), signed=True)[1:-1]} points"
        lines.append(f"{len(rest)} more skills{ends if known else ' are not told'}")
    return lines + quiet_lines([each for each in changes if each.verdict == "identical"])


def changed_line(change: Change) -> str:
    """Say how a skill's kept rows changed."""
    one = change.moved == 1
    moved = f"{change.moved} prompt{'' if one else 's'} now go{'es' * one} to"
    moved += f" {counted(change.lost_to)}"
    if change.change is None or change.before is None or change.interval is None:
        told = f"{change.moved} of {change.kept} prompts now go to {counted(change.lost_to)}"
        return f"{change.skill} {told if change.moved else 'has no kept rows to compare'}"
    was, now = score_text(change.before, change.metric, short=True), percent(change.after)
    ends = ends_text(change.interval.low, change.interval.high, signed=True)
    said = f"{change.skill} {was} -> {now}   {dashed(points(change.change))} {ends}"
    said += f"   {change.changed} of {change.kept} answers changed"
    return f"{said}, {moved}" if change.moved else said


def quiet_lines(changes: Sequence[Change]) -> list[str]:
    """Say in one line that skills did not change, and what their rows can rule out."""
    if not changes:
        return []
    names = ", ".join(each.skill for each in changes)
    whose = names if len(changes) <= NAMED else f"{len(changes)} other skills"
    sizes = sorted({each.kept for each in changes})
    rows = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    lows = [each.interval.low for each in changes if each.interval is not None]
    if not lows:
        return [f"{whose}: no prompt of {rows} goes elsewhere"]
    out = f"a loss beyond {percent(-min(lows))} points is ruled out"
    return [f"{whose}: no answer of {rows} changed; {out}"]


def flip_line(flip: Flip, metric: Metric) -> str:
    """Say which text is answered otherwise, who answered it, and how that went."""
    before, after = (quality(reply.score, metric) for reply in (flip.before, flip.after))
    route = f"{skill_text(flip.before.by)} -> {skill_text(flip.after.by)}"
    return f'"{shortened(flip.row.text)}"   {route}   {before} -> {after}'


def drift_lines(folder: Folder, version: Version) -> list[str]:
    """Say of skills that lost more than the limit since they were learned, step by step.

    The gate compares a version with the one that it was made from, so small losses can add up.
    """
    lines: list[str] = []
    limit = version.standing.gate.max_drop / 100
    for change in version.standing.changes:
        if change.after is None or change.before is None or change.verdict == "worse":
            continue
        rows = version.state.rows(change.skill)
        now, own = change.after, sum(row.score for row in rows) / len(rows)
        if own - now > limit and change.before < own - SAME:
            lines.append(
                f"{change.skill} has lost {percent(own - now)} points since it was learned"
            )
    return lines


def general_lines(version: Version) -> list[str]:
    """Say how many prompts of no skill go to the base model."""
    standing = version.standing
    if not standing.general:
        return []
    said = f"{standing.to_base} of {standing.general} general prompts go to the base model"
    if standing.to_base_before is None:
        return [said]
    same = standing.to_base == standing.to_base_before
    return [f"{said}, {'as many as' if same else f'{standing.to_base_before} did'} before"]


def outcome_lines(folder: Folder, version: Version) -> list[str]:
    """Say whether a version is in use, why not, and what can be done next."""
    gate = version.standing.gate
    if version.in_use:
        how = "" if gate.passed else f" although {refusal(gate)}"
        return [f"published version {version.number}{how}"]
    used = [each.number for each in folder.versions if each.in_use]
    if folder.role(version) == "earlier":
        return [f"version {version.number} was in use before version {used[0]}"]
    stays = f"version {used[0]} stays in use" if used else "no version is in use"
    kept = f"Candidate {version.number} is kept; {stays}."
    name = shlex.quote(folder.name)
    report = f"amlora report {name} --version {version.number}"
    publish = f"amlora publish {name} {version.number}"
    return [
        kept if gate.passed else f"REFUSED: {refusal(gate)}. {kept}",
        f"next: {report} | {publish}{'' if gate.passed else ' --force'}",
    ]


def diff_lines(
    folder: Folder, first: Version, second: Version, changes: Sequence[Change]
) -> list[str]:
    """Say what changes from one version to another, whichever they are.

    Args:
        folder: theirs.
        first: the one to start from.
        second: the one to compare with it.
        changes: from the first to the second.
    """
    names = folder.renamed(first, second)
    before = first.state.renamed(names)
    lines = [f"from version {first.number} to version {second.number}"]
    lines += [f"{old} is called {new} now" for old, new in names.items()]
    for each in changes:
        if each.verdict == "new":
            score = "" if each.after is None else f", {score_text(each.after, each.metric)}"
            lines.append(f"{each.skill} is new{score}")
        if each.verdict == "gone":
            lines.append(f"{each.skill} is not there")
    return [one_line(line) for line in [*lines, *change_lines(changes, before, second.state)]]


def versions_lines(folder: Folder) -> list[str]:
    """List all versions: what was done, what the gate said, and which is in use."""
    rows = [["version", "from", "what", "state", "gate"]]
    for each in folder.versions:
        gate = each.standing.gate
        doubts = f", {len(gate.undecided)} undecided" if gate.undecided else ""
        rows.append(
            [
                str(each.number),
                MISSING if each.parent is None else str(each.parent),
                f"{each.standing.did} {each.standing.skill}",
                folder.role(each),
                f"passed{doubts}" if gate.passed else f"refused: {refusal(gate)}",
            ]
        )
    return aligned(rows, right=(0, 1)).split("\n")


def refusal(gate: Gate) -> str:
    """Say in one sentence why a version was refused."""
    return "; ".join(gate.refused)


def score_text(value: float | None, metric: Metric, *, short: bool = False) -> str:
    """Write a score with its unit: "91.5 %", "F1 41.0"; short: the per cent sign left out."""
    said = SCORES[metric].format(percent(value))
    return said.removesuffix(" %") if short else said


def ends_text(low: float, high: float, *, signed: bool = False) -> str:
    """Write an interval as "(86.8 to 94.6)", of a change with signs."""
    show = points if signed else percent
    return f"({dashed(show(low))} to {dashed(show(high))})"


def dashed(number: str) -> str:
    """Write a number's minus sign as it can be typed."""
    return number.replace(MINUS, "-")


def quality(score: float, metric: Metric) -> str:
    """Call an answer right or wrong, or write its score."""
    if metric == "exact":
        return "right" if score == 1 else "wrong"
    return percent(score)


def counted(lost_to: Mapping[str, int]) -> str:
    """Name who answers prompts now, how many each where there are several."""
    names = sorted(lost_to.items(), key=lambda item: (-item[1], item[0]))
    if len(names) == 1:
        return skill_text(names[0][0])
    return ", ".join(f"{skill_text(name)} ({count})" for name, count in names)


def skill_text(name: str) -> str:
    """Call a skill by its name, and no skill so."""
    return "no skill" if name == NO_SKILL else name


def shortened(text: str, most: int = LETTERS) -> str:
    """Return a text in one line of at most so many letters."""
    line = one_line(" ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 3].rstrip()}..."
