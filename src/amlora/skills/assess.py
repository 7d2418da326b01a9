"""What a new version does to the skills before it: which kept rows go elsewhere, and what they get.

A skill's own answers are known and never change, so only rows whose route changed are answered
anew, and a few others once more, which must be the same (`regression.py`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import torch

from amlora.engine.encode import Row
from amlora.engine.settings import BUILTIN, EvaluateSettings
from amlora.errors import InputError
from amlora.experiment.general import general_rows, read_texts
from amlora.mixture.manifest import KEPT_VECTORS
from amlora.mixture.route import NONE
from amlora.records.skills import Learned, Metric, Standing
from amlora.records.states import Kept as Rows
from amlora.records.states import Reply, State, state_of
from amlora.skills.bench import Bench
from amlora.skills.cost import environment
from amlora.skills.facts import Facts, Kept
from amlora.skills.gate import judge
from amlora.skills.regression import (
    Ask,
    astray_of,
    changes_of,
    check_same,
    to_answer,
)
from amlora.skills.score import score_rows
from amlora.streams.task import Example

Did = Literal["learn", "update", "remove"]
UNKNOWN = "was not made by `amlora learn`, so nothing is known to compare, and a loss not seen"
"""Of a skill in a run's folder."""


def state(facts: Facts, renamed: Mapping[str, str] | None = None) -> State:
    """Return what a version answers, of those skills that `learn` made."""
    return facts.state().renamed(renamed or {})


def rows_of(kept: Kept) -> Rows:
    """Return a skill's kept rows, or the number of its vectors."""
    return kept.stated


def assess(
    bench: Bench,
    before: Facts | None,
    *,
    did: Did,
    skill: str,
    learned: Mapping[str, Learned],
    kept: Mapping[str, Kept],
    max_drop: float,
    seed: int = 0,
) -> Standing:
    """Compare the skills on the bench with the version before.

    Args:
        bench: with all skills of the new version on.
        before: the version that it is made from.
        did: what was done.
        skill: that it was done to.
        learned: of every skill of the new version that `learn` made.
        kept: of the same at least; of a newcomer all rows that it was scored on.
        max_drop: points that an earlier skill may be shown to lose.
        seed: decides which unchanged rows are answered once more.
    """
    kept = {name: kept[name] for name in learned}
    routes: dict[str, dict[str, str]] = {}
    for name, held in kept.items():
        if held.vectors is not None and held.vectors.shape[1] != bench.router.width:
            raise InputError(
                f"skill {name!r}: {KEPT_VECTORS}: {held.vectors.shape[1]} numbers a prompt, and the"
                f" router reads {bench.router.width}."
            )
        to = [] if held.vectors is None else bench.destinations(held.vectors)
        routes[name] = dict(zip(held.names, to, strict=True))
    rows = {name: rows_of(held) for name, held in kept.items()}
    then = None if before is None else state(before)
    anew = [skill] if did != "remove" else []
    asked = to_answer(routes, rows, then, seed=seed, anew=anew)
    here = environment(bench.backbone)
    same_machine = {name: each.environment == here for name, each in learned.items()}
    # Where another skill's answer was found is not written down.
    asked = [
        ask
        for ask in asked
        if ask.known is None or (ask.by == ask.skill and same_machine[ask.skill])
    ]
    replies = answer(bench, learned, asked)
    exact = bench.backbone.precision == torch.float32
    checked, differed = check_same(asked, replies, exact=exact)
    astray = astray_of(routes, rows, then, asked, replies, anew=anew)
    now = state_of(learned, rows, astray)
    changes = changes_of(then, now, max_drop=max_drop)
    gate = judge(changes, None if did == "remove" else learned[skill], max_drop)
    unknown = [f"{name}: {UNKNOWN}" for name in bench.names if name not in learned]
    gate = gate.model_copy(update={"undecided": (*gate.undecided, *unknown)})
    general, to_base = general_routes(bench)
    earlier = before.standing if before is not None else None
    return Standing(
        did=did,
        skill=skill,
        changes=tuple(changes),
        astray=tuple(astray),
        checked=checked,
        differed=differed,
        general=general,
        to_base=to_base,
        to_base_before=None if earlier is None else earlier.to_base,
        gate=gate,
    )


def answer(bench: Bench, learned: Mapping[str, Learned], asked: Sequence[Ask]) -> list[Reply]:
    """Answer kept rows, each by the skill that it is sent to, scored by its own skill's metric."""
    cards = {skill.card.name: skill.card for skill in bench.skills}
    by_skill: defaultdict[str, list[int]] = defaultdict(list)
    for place, ask in enumerate(asked):
        by_skill[ask.skill].append(place)
    # Rows that are scored alike go together, whoever answers: what that takes is taken once.
    alike: defaultdict[tuple[Metric, int], list[tuple[int, Row]]] = defaultdict(list)
    for skill, places in by_skill.items():
        kept = [asked[i].row for i in places]
        rows = bench.rows(
            cards[skill], [Example(text=row.text, label=row.label, row=row.row) for row in kept]
        )
        for i, row in zip(places, rows, strict=True):
            (routed,) = bench.routed([row], asked[i].by)
            alike[learned[skill].metric, learned[skill].room].append((i, routed))
    found: dict[int, Reply] = {}
    for (metric, room), placed in alike.items():
        scored = score_rows(
            bench.backbone,
            [row for _, row in placed],
            metric,
            max_new_tokens=room,
            tokens_per_batch=EvaluateSettings().tokens_per_batch,
            texts=True,
        )
        for (i, _), each in zip(placed, scored, strict=True):
            found[i] = Reply(asked[i].by, each.answer or "", each.score)
    return [found[i] for i in range(len(asked))]


def general_routes(bench: Bench) -> tuple[int, int]:
    """Return how many prompts of no skill there are, and how many the base model answers."""
    texts = read_texts(BUILTIN)
    assert texts is not None
    found = general_rows(bench.backbone, *texts)
    rows = [*found.passages, *found.questions]
    return len(rows), bench.destinations(bench.vectors(rows)).count(NONE)
