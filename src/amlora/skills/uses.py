"""Which earlier skills a new one is learned on top of: decided before learning, on its own rows.

Three candidates answer a sample of the new task's training rows: the base model alone, all skills
added up, and the nearest skill, to which the router would send most of the rows. A candidate is
taken if its answer losses are lower than the base model's beyond noise; otherwise none.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import NamedTuple

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row
from amlora.engine.exact import passes
from amlora.engine.route import BASE_ALONE, Router
from amlora.evaluate.statistics import Interval, seed_interval
from amlora.mixture.mixture import Mixture
from amlora.mixture.route import Route
from amlora.records.skills import Uses
from amlora.skills.course import some_of
from amlora.skills.settings import LearnSettings

SAMPLE, SAMPLE_TOKENS = 96, 8_000
"""At most so many rows and tokens are answered by each candidate."""
LEVEL = 0.01
"""The chance that any candidate is taken where none is better."""
BASE, ALL = "base", "all"


class Answered(NamedTuple):
    """How a candidate answers the sample."""

    losses: list[float]
    """Of each row, nats a token of the answer."""
    hits: float
    """The share of rows, 0..1, whose every token was the likeliest: what greedy decoding would
    give, but for an answer that is right in other tokens."""


def choose_uses(
    backbone: Backbone,
    mixture: Mixture | None,
    router: Router | None,
    names: Sequence[str],
    rows: Sequence[Row],
    settings: LearnSettings,
    tokens_per_batch: int,
) -> Uses:
    """Choose the skills whose LoRAs a new skill is learned on top of.

    Args:
        backbone: with the mixture of all skills in it; None where there is none.
        mixture: their LoRAs.
        router: tells a prompt's skill.
        names: the skills, in the order of the router's stages.
        rows: the new task's training rows.
        settings: `uses` may decide without a look at the rows.
        tokens_per_batch: most tokens in a forward pass, padding included.
    """
    if mixture is None or router is None or not names:
        return Uses(names=(), why="nothing (there is no earlier skill)", scores={}, losses={})
    if settings.uses == "none":
        return Uses(names=(), why="nothing (as asked for)", scores={}, losses={})
    everything = called(mixture, names, range(len(mixture)))
    if settings.uses == "all":
        why = f"{', '.join(everything)} (as asked for)"
        return Uses(names=everything, why=why, scores={}, losses={})
    sample = some_of(rows, most=SAMPLE, tokens=SAMPLE_TOKENS, seed=settings.seed)
    near = nearest_skill(router, sample)
    teams = {names[near]: called(mixture, names, team_of(mixture, near)), ALL: everything}
    if {*teams[ALL]} == {*teams[names[near]]}:
        del teams[ALL]
    routes: dict[str, Route | None] = {BASE: BASE_ALONE, ALL: None}
    routes[names[near]] = tuple(float(stage == 1 + near) for stage in range(1 + len(names)))
    found = {
        name: answer(backbone, sample, routes[name], tokens_per_batch) for name in (BASE, *teams)
    }
    chosen, told = choose(found, sizes={name: len(team) for name, team in teams.items()})
    return Uses(
        names=teams[chosen] if chosen else (),
        why=f"{chosen or 'nothing'} ({shown(found)}: {told})",
        scores={name: each.hits for name, each in found.items()},
        losses={name: fmean(each.losses) for name, each in found.items()},
    )


def nearest_skill(router: Router, rows: Sequence[Row]) -> int:
    """Return the place of the skill that is the likeliest one for most of the rows."""
    likeliest: Counter[int] = Counter()
    for row in rows:
        belief = router.read(row.prompt_ids)[1]
        assert belief is not None, "skills are told apart by their stages"
        likeliest[belief.posterior.index(max(belief.posterior))] += 1
    most = max(likeliest.values())
    return min(place for place, count in likeliest.items() if count == most)


def own_places(mixture: Mixture, names: Sequence[str]) -> dict[str, int]:
    """Return the place of each LoRA by its skill's name.

    A LoRA whose skill was removed or replaced, and that another still uses, has its own name.
    """
    places = {name: place for place, name in enumerate(mixture.names)}
    owned = {team_of(mixture, skill)[-1]: name for skill, name in enumerate(names)}
    left = {name: place for name, place in places.items() if place not in owned}
    return {**left, **{name: place for place, name in owned.items()}}


def team_of(mixture: Mixture, skill: int) -> tuple[int, ...]:
    """Return the places of the LoRAs that answer for a skill, its own last."""
    return mixture.teams[skill] if mixture.teams else tuple(range(1 + skill))


def called(mixture: Mixture, names: Sequence[str], places: Iterable[int]) -> tuple[str, ...]:
    """Return what the LoRAs at some places are called, as `own_places` does."""
    found = {place: name for name, place in own_places(mixture, names).items()}
    return tuple(found[place] for place in places)


def answer(
    backbone: Backbone, rows: Sequence[Row], route: Route | None, tokens_per_batch: int
) -> Answered:
    """Answer rows, all by one route; None for all LoRAs as they are."""
    routed = [replace(row, route=route) for row in rows]
    found = sorted(passes(backbone, routed, tokens_per_batch), key=lambda each: each.place)
    hits = (tuple(each.best) == rows[each.place].answer_ids for each in found)
    return Answered([fmean(each.losses) for each in found], fmean(hits))


def choose(found: Mapping[str, Answered], sizes: Mapping[str, int]) -> tuple[str | None, str]:
    """Return the candidate to use, None for the base model alone, and a word for why.

    Each candidate is compared with the base model by the paired differences of the rows' losses: a
    t interval at `LEVEL`, shared by the comparisons (Bonferroni). Of two that are better, the
    better one is taken where the two can be told apart, else the one of fewer LoRAs.
    """
    level = 1 - LEVEL / len(sizes)
    better, worse = list[str](), list[str]()
    for name in sizes:
        interval = difference(found[name], found[BASE], level)
        if interval is not None and interval.high < 0:
            better.append(name)
        elif interval is not None and interval.low > 0:
            worse.append(name)
    if not better:
        return None, "worse" if len(worse) == len(sizes) else "not told apart"
    best = min(better, key=lambda name: fmean(found[name].losses))
    small = min(better, key=lambda name: sizes[name])
    if small != best:
        interval = difference(found[best], found[small], level)
        best = best if interval is not None and interval.high < 0 else small
    return best, "better"


def difference(first: Answered, second: Answered, level: float) -> Interval | None:
    """Return the interval of how much higher the first's losses are; None for a single row."""
    pairs = zip(first.losses, second.losses, strict=True)
    gaps = [ours - theirs for ours, theirs in pairs]
    return seed_interval(gaps, level).interval if len(gaps) > 1 else None


def shown(found: Mapping[str, Answered]) -> str:
    """Return the candidates' scores for a reader: shares of rows, or losses where all are 0."""
    hits = any(each.hits for each in found.values())
    told = {
        name: f"{100 * each.hits:.1f} %" if hits else f"{fmean(each.losses):.2f} nats a token"
        for name, each in found.items()
    }
    return ", ".join(
        f"{'base alone' if name == BASE else f'with {name}'} {value}"
        for name, value in told.items()
    )
