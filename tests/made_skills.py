"""Facts of skills as a skills folder holds them, made without a model."""

from collections.abc import Mapping, Sequence
from typing import Literal

from amlora.records.folder import Folder, Version
from amlora.records.skills import Astray, Interval, KeptRow, Learned, Metric, Standing, Uses
from amlora.records.states import Kept, State, state_of
from amlora.skills.gate import judge
from amlora.skills.regression import changes_of

OWN = [1.0] * 180 + [0.0] * 20  # 90 %


def kept_rows(skill: str, scores: Sequence[float]) -> tuple[KeptRow, ...]:
    """Rows of a skill, of which those of score 1 are answered rightly."""
    return tuple(
        KeptRow(
            row=f"test:{at}",
            text=f"{skill} text {at}",
            label="yes",
            answer="yes" if score == 1 else "no",
            score=score,
            loss=0.25,
        )
        for at, score in enumerate(scores)
    )


def learned_of(
    task: str,
    score: float = 0.9,
    *,
    low: float | None = None,
    zero_shot: float = 0.3,
    majority: float = 0.28,
    metric: Metric = "exact",
    digest: str = "",
) -> Learned:
    """How a skill was learned."""
    return Learned(
        task=task,
        metric=metric,
        rows={"train": 160, "stop": 20, "kept": 200},
        duplicates=3,
        contradictions=1,
        overlap={},
        zero_shot=zero_shot,
        majority=majority,
        score=score,
        interval=Interval(low=score - 0.05 if low is None else low, high=min(1.0, score + 0.05)),
        uses=Uses(names=(), why="nothing: there is no other skill", scores={}, losses={}),
        steps=60,
        best=40,
        losses=((20, 1.5, 1.25), (40, 0.5, 0.75), (60, 0.25, 0.875)),
        tokens=12_345,
        seconds={"train": 31.5, "score": 4.0},
        settings={"lr": 3e-3, "lora": {"rank": 8}},
        data=f"{task}.csv",
        digest=digest or task,
        room=8,
        environment={"torch": "2.8.0", "threads": 2},
    )


def astray_rows(
    skill: str, to: str, rows: Mapping[int, float], *, vectors: bool = False
) -> list[Astray]:
    """Rows of a skill, by their place, that another answers with these scores."""
    return [
        Astray(
            skill=skill,
            row=f"test:{at}",
            to=to,
            answer=None if vectors else "yes" if score == 1 else f"{to} says",
            score=None if vectors else score,
        )
        for at, score in rows.items()
    ]


def state(
    kept: Mapping[str, Sequence[float] | int],
    astray: Sequence[Astray] = (),
    *,
    metric: Metric = "exact",
) -> State:
    """A version: skills with the own scores of their kept rows, or the number of their vectors."""
    rows: dict[str, Kept] = {
        skill: scores if isinstance(scores, int) else kept_rows(skill, scores)
        for skill, scores in kept.items()
    }
    return state_of({skill: learned_of(skill, metric=metric) for skill in kept}, rows, astray)


def helpdesk(*, forced: bool = False) -> Folder:
    """Three skills: billing, spam on top of it, and refunds, which takes prompts of billing."""
    first = state({"billing": OWN})
    second = state({"billing": OWN, "spam": [1.0] * 10})
    taken = astray_rows("billing", "refunds", {at: 0.0 for at in range(15)} | {180: 1.0})
    third = state({"billing": OWN, "spam": [1.0] * 10, "refunds": OWN}, taken)
    return Folder(
        name="helpdesk",
        base="Qwen/Qwen3-0.6B",
        versions=(
            version_of(1, None, first, "billing"),
            version_of(2, first, second, "spam", in_use=not forced),
            version_of(3, second, third, "refunds", in_use=forced),
        ),
    )


def version_of(
    number: int,
    parent: State | None,
    now: State,
    skill: str,
    *,
    did: Literal["learn", "update", "remove", "rename"] = "learn",
    in_use: bool = False,
    renamed: Mapping[str, str] | None = None,
    max_drop: float = 2.0,
) -> Version:
    """A version that was made from the one before its number."""
    changes = changes_of(parent, now, max_drop=max_drop, renamed=renamed)
    learned = now.learned[skill] if did in ("learn", "update") else None
    standing = Standing(
        did=did,
        skill=skill,
        renamed=dict(renamed or {}),
        changes=tuple(changes),
        astray=tuple(each for rows in now.astray.values() for each in rows.values()),
        checked=16 if parent else 0,
        general=64,
        to_base=64,
        to_base_before=64 if parent else None,
        gate=judge(changes, learned, max_drop),
    )
    return Version(
        number=number,
        parent=number - 1 if parent else None,
        in_use=in_use,
        standing=standing,
        learned=now.learned,
        kept=now.kept,
    )
