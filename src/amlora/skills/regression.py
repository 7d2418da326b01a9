"""The regression report: what a version changes in its skills' answers, skill by skill.

An earlier skill's answer can change in one way alone, by a prompt that another skill answers. So
only rows whose route changed are answered again (`to_answer`), and a sample of the others, which
must come out the same (`check_same`). `astray_of` puts together what is then known, and
`changes_of` compares two versions by it.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from random import Random

from amlora.errors import InputError
from amlora.evaluate.paired import mean_interval, paired_change, power_of, rows_needed
from amlora.records.skills import Astray, Change, Interval, KeptRow, Verdict
from amlora.records.states import Kept, Reply, State, shared

Routes = Mapping[str, Mapping[str, str]]
"""By skill and kept row: who answers it, a skill or NO_SKILL."""
EACH, LEAST, MOST = 4, 16, 64
"""Rows with a known answer that are answered once more: of each skill, and in all."""
ORDER: tuple[Verdict, ...] = ("worse", "undecided", "safe", "identical", "new", "gone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A kept row that is to be answered."""

    skill: str
    """Whose it is."""
    row: KeptRow
    by: str
    """Who answers it: a skill, or NO_SKILL."""
    known: Reply | None
    """What must come out; None where nothing is known."""


def to_answer(
    routes: Routes,
    kept: Mapping[str, Kept],
    before: State | None,
    *,
    seed: int,
    each: int = EACH,
    least: int = LEAST,
    most: int = MOST,
    anew: Collection[str] = (),
) -> list[Ask]:
    """Return the kept rows whose answer in a new version is not known, then some whose answer is.

    Args:
        routes: of every kept row in the new version.
        kept: of every skill of the new version.
        before: what the version before answers, under the new version's names; None without one.
        seed: decides which known ones are asked.
        each: known ones of every skill.
        least: known ones in all, where there are so many.
        most: known ones in all; of more than that many skills some are drawn.
        anew: skills that learned again; what they answered before says nothing.
    """
    asked: list[Ask] = []
    settled: list[list[Ask]] = []
    for skill, rows in kept.items():
        if isinstance(rows, int):
            continue
        found: list[Ask] = []
        for row in rows:
            by = routes[skill][row.row]
            known = known_reply(before, skill, row, by, anew)
            (asked if known is None else found).append(
                Ask(skill=skill, row=row, by=by, known=known)
            )
        Random(f"{seed}/{skill}").shuffle(found)
        settled.append(found)
    sample = [ask for found in settled for ask in found[:each]]
    if len(sample) > most:
        sample = [sample[i] for i in sorted(Random(seed).sample(range(len(sample)), most))]
    rest = [ask for found in settled for ask in found[each:]]
    Random(seed).shuffle(rest)
    return [*asked, *sample, *rest[: max(0, least - len(sample))]]


def known_reply(
    before: State | None, skill: str, row: KeptRow, by: str, anew: Collection[str]
) -> Reply | None:
    """Return what a row is answered by a skill, where that is known without asking."""
    if by == skill:
        return Reply(by, row.answer, row.score)
    if before is None or skill not in before.kept or by in anew:
        return None
    then = before.astray[skill].get(row.row)
    if then is None or then.to != by or row not in before.rows(skill):
        return None
    return before.reply(skill, row)


def check_same(
    asked: Sequence[Ask], replies: Sequence[Reply], *, exact: bool = True
) -> tuple[int, int]:
    """Return how many rows whose answer was known came out the same, and how many did not.

    Args:
        asked: what was asked.
        replies: to each of them.
        exact: whether answers are the same to the last bit whichever rows are answered together.
            In bfloat16 they are not, and less than half of the rows may differ.

    Raises:
        InputError: one differs, or so many do: the model, its device or a library computes
            otherwise than before.
    """
    known = [
        (ask, ask.known, reply)
        for ask, reply in zip(asked, replies, strict=True)
        if ask.known is not None
    ]
    other = [each for each in known if not each[2].same(each[1])]
    if other and (exact or 2 * len(other) >= len(known)):
        ask, then, now = other[0]
        raise InputError(
            f"row {ask.row.row!r} of skill {ask.skill!r} has another answer than before,"
            f" {now.answer!r} instead of {then.answer!r}, and {ask.by!r} still answers it; the"
            " base model, the device or a library is not what it was."
        )
    return len(known) - len(other), len(other)


def astray_of(
    routes: Routes,
    kept: Mapping[str, Kept],
    before: State | None,
    asked: Sequence[Ask],
    replies: Sequence[Reply],
    *,
    anew: Collection[str] = (),
) -> list[Astray]:
    """Return every kept row of a new version that another skill than its own answers.

    Args:
        routes: as for `to_answer`, like the other arguments.
        kept: as there.
        before: as there.
        asked: what `to_answer` returned.
        replies: to each of them, in the same order.
        anew: as there.
    """
    answered = {(ask.skill, ask.row.row): reply for ask, reply in zip(asked, replies, strict=True)}
    found: list[Astray] = []
    for skill, rows in kept.items():
        texts = {} if isinstance(rows, int) else {row.row: row for row in rows}
        for name, by in routes.get(skill, {}).items():
            if by == skill:
                continue
            reply = answered.get((skill, name))
            if reply is None and name in texts:
                reply = known_reply(before, skill, texts[name], by, anew)
            told = {} if reply is None else {"answer": reply.answer, "score": reply.score}
            found.append(Astray(skill=skill, row=name, to=by, **told))
    return found


def changes_of(
    before: State | None,
    after: State,
    *,
    max_drop: float,
    renamed: Mapping[str, str] | None = None,
) -> list[Change]:
    """Compare two versions, skill by skill, worst first.

    Args:
        before: what the earlier version answers; None where there is none, and all is new.
        after: what the later one answers; any two versions can be compared.
        max_drop: points that a skill may be shown to lose.
        renamed: old names to new, of skills that were renamed in between.
    """
    was = before.renamed(renamed or {}) if before else State(learned={}, kept={}, astray={})
    found = [
        compared(was, after, skill, max_drop / 100) if skill in was.kept else newcomer(after, skill)
        for skill in after.kept
    ]
    found += [gone(was, skill) for skill in was.kept if skill not in after.kept]
    return sorted(
        found, key=lambda each: (ORDER.index(each.verdict), each.change or 0.0, -each.moved)
    )


def newcomer(after: State, skill: str) -> Change:
    """Return what is known of a skill that the version before did not have."""
    scores = [reply.score for reply in after.replies(skill)]
    astray = after.astray[skill].values()
    return Change(
        skill=skill,
        metric=after.learned[skill].metric,
        kept=after.size(skill),
        moved=len(astray),
        changed=None,
        before=None,
        after=after.score(skill),
        change=None,
        interval=interval(mean_interval(scores)) if scores else None,
        verdict="new",
        lost_to=dict(Counter(each.to for each in astray).most_common()),
    )


def gone(before: State, skill: str) -> Change:
    """Return what was known of a skill that the new version does not have."""
    return Change(
        skill=skill,
        metric=before.learned[skill].metric,
        kept=before.size(skill),
        moved=0,
        changed=None,
        before=before.score(skill),
        after=None,
        change=None,
        interval=None,
        verdict="gone",
    )


def compared(before: State, after: State, skill: str, limit: float) -> Change:
    """Compare a skill that both versions have; `limit` is the drop that it may be shown to have."""
    metric = after.learned[skill].metric
    rows = shared(before, after, skill)
    if not rows:
        return untold(before, after, skill)
    moved = Counter(new.by for _, old, new in rows if new.by != old.by)
    changed = sum(not new.same(old) for _, old, new in rows)
    was, now = [old.score for _, old, _ in rows], [new.score for *_, new in rows]
    found = paired_change(was, now)
    low, high = found.interval
    verdict: Verdict = (
        "identical"
        if changed == 0
        else "worse"
        if high < -limit
        else "safe"
        if low > -limit
        else "undecided"
    )
    power = needed = None
    if verdict == "undecided" and limit:
        squares = [(new - old) ** 2 for old, new in zip(was, now, strict=True)]
        discordant = min(1.0, fsum(squares) / len(squares))
        power = power_of(len(rows), limit, discordant)
        needed = rows_needed(limit, discordant=discordant)
    return Change(
        skill=skill,
        metric=metric,
        kept=len(rows),
        moved=moved.total(),
        changed=changed,
        before=fsum(was) / len(was),
        after=fsum(now) / len(now),
        change=found.mean,
        interval=interval(found.interval),
        verdict=verdict,
        power=power,
        needed=needed,
        lost_to=dict(moved.most_common()),
    )


def untold(before: State, after: State, skill: str) -> Change:
    """Compare a skill of which both versions keep no text in common: routes alone are known."""
    same = before.learned[skill] == after.learned[skill]
    kept = after.size(skill) if same else 0
    was, now = before.astray[skill], after.astray[skill]
    moved: Counter[str] = Counter()
    if kept:
        for row in was.keys() | now.keys():
            old, new = ((each[row].to if row in each else skill) for each in (was, now))
            moved.update([new] if new != old else [])
    return Change(
        skill=skill,
        metric=after.learned[skill].metric,
        kept=kept,
        moved=moved.total(),
        changed=None,
        before=None,
        after=None,
        change=None,
        interval=None,
        verdict="identical" if kept and not moved else "undecided",
        lost_to=dict(moved.most_common()),
    )


def interval(ends: tuple[float, float]) -> Interval:
    """Return both ends as a record holds them."""
    return Interval(low=ends[0], high=ends[1])
