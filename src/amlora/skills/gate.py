"""The gate: whether a version may be published, why not, and what could not be told.

It refuses a version in which an earlier skill is shown to lose more than the limit: the 95 %
interval of its paired change lies wholly beyond it. It refuses a newcomer whose score is not above
both what the model scored before learning and what its most frequent answer scores. What is neither
shown to be lost nor to be kept does not stop a version, and is always said.
"""

from collections.abc import Sequence

from amlora.records.skills import Change, Gate, Learned


def judge(changes: Sequence[Change], learned: Learned | None, max_drop: float) -> Gate:
    """Tell whether a version may be published.

    Args:
        changes: of `changes_of`, made with the same limit.
        learned: the skill that is new or was learned again; None where nothing was learned.
        max_drop: points that a skill may be shown to lose.
    """
    refused = [
        f"{each.skill} lost more than {max_drop:.1f} points"
        for each in changes
        if each.verdict == "worse"
    ]
    undecided = [undecided_line(each, max_drop) for each in changes if each.verdict == "undecided"]
    if learned is not None:
        own = [each for each in changes if each.skill == learned.task]
        refusals, doubts = newcomer_lines(learned, own[0] if own else None)
        refused += refusals
        undecided += doubts
    return Gate(
        passed=not refused, max_drop=max_drop, refused=tuple(refused), undecided=tuple(undecided)
    )


def undecided_line(change: Change, max_drop: float) -> str:
    """Say what could not be told of a skill, and what it would take."""
    skill = change.skill
    if not change.kept:
        return f"{skill}: no rows were kept to compare, so a loss would not be seen"
    if change.change is None or change.interval is None:
        return (
            f"{skill}: {change.moved} of {change.kept} prompts are answered by another skill, and"
            " how is not known, as their texts were not kept"
        )
    low, high = change.interval.low, change.interval.high
    said = (
        f"{skill}: {100 * change.change:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}) may"
        f" be more than {max_drop:.1f} lost"
    )
    if change.power is None or change.needed is None:
        return said
    return (
        f"{said}; {change.kept} kept rows show a loss of {max_drop:.1f} with a chance of"
        f" {100 * change.power:.0f} %, {change.needed:,} would with 80 %"
    )


def newcomer_lines(learned: Learned, change: Change | None) -> tuple[list[str], list[str]]:
    """Say why a skill that was learned is of no use, and what of that could not be told.

    Of a new skill the score in the version counts, in which some of its prompts may go to other
    skills; of one that learned again, or keeps no texts, the score of the skill alone.
    """
    score, interval = learned.score, learned.interval
    if change is not None and change.verdict == "new" and change.interval is not None:
        score, interval = change.after or 0.0, change.interval
    refused: list[str] = []
    doubts: list[str] = []
    for bar, what in (
        (learned.zero_shot, "the model before learning"),
        (learned.majority, "the most frequent answer"),
    ):
        against = f"{100 * score:.1f} against {100 * bar:.1f} %"
        if score <= bar:
            refused.append(f"{learned.task} is no better than {what}, {against}")
        elif interval.low <= bar:
            doubts.append(f"{learned.task} is not shown to be better than {what}, {against}")
    return refused, doubts
