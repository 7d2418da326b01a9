"""`eval`: answer a folder's kept rows once more, or fresh rows of one skill, and score them.

Each prompt goes where the router sends it, as it does in use.
"""

from collections import Counter
from dataclasses import dataclass, replace

from amlora.engine.backbone import Backbone
from amlora.engine.encode import encode_rows
from amlora.engine.settings import EvaluateSettings
from amlora.errors import InputError, nearest
from amlora.evaluate.paired import mean_interval
from amlora.mixture.route import by_name
from amlora.records.skills import Interval, Metric
from amlora.skills.data import read_rows
from amlora.skills.facts import Facts, task_of
from amlora.skills.load import LoadedSkills
from amlora.skills.score import mean_score, score_rows
from amlora.skills.settings import Words
from amlora.streams.task import Example


@dataclass(frozen=True)
class Rescored:
    """How one skill's rows were answered."""

    skill: str
    metric: Metric
    rows: int
    score: float
    """Mean, 0..1."""
    interval: Interval
    answered_by: dict[str, int]
    """Rows by who answered them."""
    learned: float | None
    """What the skill itself scored on its kept rows when it was learned."""


def rescore(
    backbone: Backbone,
    learned: LoadedSkills,
    facts: Facts,
    skill: str | None,
    data: str | None,
    label: str = "label",
) -> list[Rescored]:
    """Score the kept rows of all skills or of one, or fresh rows of one.

    `label` is the column of the right answers in fresh rows.

    Raises:
        InputError: no such skill, nothing is kept, or the data are not the skill's.
    """
    names = list(facts.learned)
    if skill is not None and skill not in names:
        known = f"; skills: {', '.join(names)}." if names else "; `amlora learn` made none here."
        close = nearest(skill, names) or known
        raise InputError(f"--task: no skill {skill!r}{close}")
    if data is not None:
        if skill is None:
            raise InputError("--data: name the skill that the rows are of by --task.")
        return [scored(backbone, learned, facts, skill, fresh(learned, skill, data, label))]
    wanted = [skill] if skill is not None else names
    found = {
        name: [
            Example(text=row.text, label=row.label, row=row.row) for row in facts.kept[name].rows
        ]
        for name in wanted
    }
    if not any(found.values()):
        raise InputError("no rows were kept to answer; give some by --task and --data.")
    return [
        scored(backbone, learned, facts, name, examples)
        for name, examples in found.items()
        if examples
    ]


def fresh(learned: LoadedSkills, skill: str, data: str, label: str) -> list[Example]:
    """Read rows of a skill from data, with the words that it was learned with."""
    card = next(card for card in learned.tasks if card.name == skill)
    words = Words(
        instruction=card.instruction, options=card.options, text=card.text_column, label=label
    )
    return read_rows(skill, data, words)


def scored(
    backbone: Backbone,
    learned: LoadedSkills,
    facts: Facts,
    skill: str,
    examples: list[Example],
) -> Rescored:
    """Answer and score rows of one skill."""
    card = next(card for card in learned.tasks if card.name == skill)
    rows, _ = encode_rows(backbone, task_of(card), examples, prefix=card.prefix, form=card.form)
    assert learned.router is not None, "a folder of skills has a router"
    rows = learned.router.routed(rows)
    known = facts.learned[skill]
    answers = score_rows(
        backbone,
        [replace(row, belief=None) for row in rows],
        known.metric,
        max_new_tokens=known.room,
        tokens_per_batch=EvaluateSettings().tokens_per_batch,
    )
    low, high = mean_interval([each.score for each in answers])
    names = learned.mixture.stage_names
    told = [next(iter(by_name(row.route, names) or {"": 1.0})) for row in rows]
    return Rescored(
        skill=skill,
        metric=known.metric,
        rows=len(rows),
        score=mean_score(answers),
        interval=Interval(low=low, high=high),
        answered_by=dict(Counter(told)),
        learned=known.score,
    )
