"""What a version answers to the rows that its skills keep, and which answers differ in another.

A skill's answer to a prompt never changes. So a kept row's answer in a version is its own skill's,
as it stands in kept.jsonl, unless the row goes astray: then it stands in the version's scores.json.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum, isclose
from typing import NamedTuple

from amlora.errors import InputError
from amlora.records.skills import Astray, KeptRow, Learned

Kept = tuple[KeptRow, ...] | int
"""A skill's kept rows, or the number of their vectors where the texts were not kept."""
SAME = 1e-6
"""Scores nearer than this are one: they may be sums in another order."""


class Reply(NamedTuple):
    """What a kept row is answered in a version."""

    by: str
    """A skill, or NO_SKILL."""
    answer: str
    score: float

    def same(self, other: "Reply") -> bool:
        """Tell whether another reply says the same, whoever says it."""
        return self.answer == other.answer and isclose(
            self.score, other.score, rel_tol=0, abs_tol=SAME
        )


class Flip(NamedTuple):
    """A kept row that two versions answer differently."""

    row: KeptRow
    before: Reply
    after: Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a version answers; made by `state_of`."""

    learned: Mapping[str, Learned]
    """By skill, in the version's order."""
    kept: Mapping[str, Kept]
    """Of the same skills."""
    astray: Mapping[str, Mapping[str, Astray]]
    """By skill and row; a skill without any has an empty one."""

    def rows(self, skill: str) -> tuple[KeptRow, ...]:
        """Return a skill's kept rows; none where their vectors alone were kept."""
        kept = self.kept[skill]
        return () if isinstance(kept, int) else kept

    def size(self, skill: str) -> int:
        """Return how many rows or vectors a skill keeps."""
        kept = self.kept[skill]
        return kept if isinstance(kept, int) else len(kept)

    def reply(self, skill: str, row: KeptRow) -> Reply:
        """Return what one of a skill's kept rows is answered."""
        found = self.astray[skill].get(row.row)
        if found is None:
            return Reply(skill, row.answer, row.score)
        assert found.score is not None  # by `state_of`
        return Reply(found.to, found.answer or "", found.score)

    def replies(self, skill: str) -> list[Reply]:
        """Return what a skill's kept rows are answered, in their order."""
        return [self.reply(skill, row) for row in self.rows(skill)]

    def score(self, skill: str) -> float | None:
        """Return the mean score of a skill's kept rows in this version; None without any."""
        scores = [reply.score for reply in self.replies(skill)]
        return fsum(scores) / len(scores) if scores else None

    def renamed(self, names: Mapping[str, str]) -> "State":
        """Return the same state with skills called otherwise, by their old names."""
        if not names:
            return self

        def now(name: str) -> str:
            return names.get(name, name)

        return State(
            learned={now(skill): each for skill, each in self.learned.items()},
            kept={now(skill): each for skill, each in self.kept.items()},
            astray={
                now(skill): {
                    row: each.model_copy(update={"skill": now(skill), "to": now(each.to)})
                    for row, each in rows.items()
                }
                for skill, rows in self.astray.items()
            },
        )


def state_of(
    learned: Mapping[str, Learned], kept: Mapping[str, Kept], astray: Iterable[Astray]
) -> State:
    """Return what a version answers.

    Args:
        learned: of each skill, in the version's order.
        kept: of each skill; 0 where nothing was kept.
        astray: the version's.

    Raises:
        InputError: a skill without kept rows or the other way round, a row twice, or a row astray
            that no skill keeps, that went to its own skill, or whose score is not there.
    """
    if odd := sorted(learned.keys() ^ kept.keys()):
        raise InputError(f"skill {odd[0]!r} has not both: how it was learned, and what it keeps.")
    known: dict[str, set[str]] = {}
    for skill, rows in kept.items():
        if not isinstance(rows, int):
            known[skill] = {row.row for row in rows}
            if len(known[skill]) < len(rows):
                raise InputError(f"skill {skill!r} keeps a row twice.")
    found: dict[str, dict[str, Astray]] = {skill: {} for skill in kept}
    for each in astray:
        where = f"row {each.row!r} of skill {each.skill!r}"
        if each.skill not in kept or each.row not in known.get(each.skill, {each.row}):
            raise InputError(f"{where} is said to go astray, and is not kept.")
        if each.row in found[each.skill] or each.to == each.skill:
            raise InputError(f"{where} is said to go astray twice, or to its own skill.")
        if each.skill in known and each.score is None:
            raise InputError(f"{where} went to {each.to!r}, and its score there is missing.")
        found[each.skill][each.row] = each
    return State(learned=dict(learned), kept=dict(kept), astray=found)


def shared(before: State, after: State, skill: str) -> list[tuple[KeptRow, Reply, Reply]]:
    """Return the rows that a skill keeps in both of two versions, with what each answers.

    An update may keep other rows, or other texts under the same name, or score them otherwise;
    these are no rows of both.
    """
    if before.learned[skill].metric != after.learned[skill].metric:
        return []
    old = {row.row: row for row in before.rows(skill)}
    return [
        (row, before.reply(skill, old[row.row]), after.reply(skill, row))
        for row in after.rows(skill)
        if row.row in old and (old[row.row].text, old[row.row].label) == (row.text, row.label)
    ]


def flips(before: State, after: State, skill: str) -> list[Flip]:
    """Return a skill's kept rows that two versions answer differently, the largest loss first."""
    found = [
        Flip(row, old, new) for row, old, new in shared(before, after, skill) if not new.same(old)
    ]
    return sorted(found, key=lambda flip: flip.after.score - flip.before.score)
