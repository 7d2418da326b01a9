"""What of a new skill's rows is kept beside it, and what a version may then say of them."""

from collections.abc import Sequence

from torch import Tensor

from amlora.records.skills import Astray, KeptRow, Standing
from amlora.skills.facts import Kept
from amlora.skills.score import Scored
from amlora.skills.settings import LearnSettings
from amlora.streams.task import Example


def kept_of(examples: Sequence[Example], own: Sequence[Scored], vectors: Tensor) -> Kept:
    """Return all rows that the skill was scored on, with its own answers."""
    rows = tuple(
        KeptRow(
            row=example.row,
            text=example.text,
            label=example.label,
            answer=each.answer or "",
            score=each.score,
            loss=each.loss,
        )
        for example, each in zip(examples, own, strict=True)
    )
    return Kept(rows, vectors)


def stored(held: Kept, settings: LearnSettings) -> Kept:
    """Return what of the scored rows the user lets us keep."""
    if settings.keep_dev == "vectors":
        return Kept(vectors=held.vectors)
    return held if settings.keep_dev else Kept()


def without_texts(standing: Standing, skill: str, scored: Kept, held: Kept) -> Standing:
    """Return what a standing may say of a skill's rows by what is kept of them.

    Where vectors alone are, it says who answers each, and no answer; where nothing is, nothing.
    """
    if held.rows:
        return standing
    names = dict(zip(scored.names, held.names, strict=False))
    astray = [
        each if each.skill != skill else Astray(skill=skill, row=names[each.row], to=each.to)
        for each in standing.astray
        if each.skill != skill or each.row in names
    ]
    return standing.model_copy(update={"astray": tuple(astray)})
