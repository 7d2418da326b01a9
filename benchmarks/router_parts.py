"""The parts of `router.py`; each returns plain values."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from router_measure import Hits, averaged, counted, gap, rejected, reliability, share
from router_prompts import bare, of_no_task, ordinary, read, small_tasks
from router_ways import BEST, CHOSEN, TODAY, WAYS, Lesson, Scorer, many, plug_in, settings, staged
from router_world import VECTORS, World
from torch import Tensor

from amlora.engine.route import Reader, Router
from amlora.mixture.stages import Stages, StageSettings
from amlora.streams.load import load_stream
from amlora.streams.prompt import build_prompt
from amlora.streams.settings import StreamSettings

DRAWS = 3
"""Of training rows."""
CHAT = "chat"
TESTS: Mapping[str, tuple[str, ...]] = {
    "as asked": ("wording 0",),
    "other words": ("wording 5", "wording 6", "wording 7", "wording 8"),
    "other layout": ("layout 4", "layout 5", "layout 6", "layout 7"),
    "free": ("free 0", "free 1", "free 2", "free 3"),
    "text alone": ("text alone",),
    CHAT: ("chat, wording 0", "chat, free 0"),
}
"""Kinds of test prompts, and in which words they are."""
CONDITIONS = ((1, 96), (2, 96), (4, 96), (1, 16), (4, 16))
"""Wordings trained on, and rows a task."""
MAIN = ("today", "roots", "sphere 0.1", "roots, sphere 0.1", CHOSEN)
"""Ways that all conditions are measured with; rivals with the first, third and fourth alone."""
COUNTS = (16, 32, 96)
UNEVEN = (8, 16, 32, 96, 160)
"""Rows of one task after the other."""
REJECTS = ((TODAY, 0.001), (TODAY, 0.01), (CHOSEN, 0.001), (CHOSEN, 0.01), (CHOSEN, 0.03))
TEMPERATURES = (1.0, 2.0, 3.0, 5.0)
HOW: Mapping[str, StageSettings] = {TODAY: settings(), CHOSEN: BEST}
TIMED = 40
"""Prompts."""


def seen_by(way: str, words: str) -> str:
    """Return how a way reads prompts in some words: a chat's last question, or all of it."""
    any_words = way == CHOSEN or way.startswith("any words")
    return f"{words}, last question" if any_words and words.startswith(CHAT) else words


def hits(world: World, vector: str, way: str, score: Scorer, test: str) -> dict[str, Tensor]:
    """Return of each task which test rows find it: (rows), a mean over the words of a kind."""
    found: dict[str, Tensor] = {}
    for place, name in enumerate(world.names):
        right = [
            (score(world.test(name, seen_by(way, words), vector)).argmax(1) == place).double()
            for words in TESTS[test]
        ]
        found[name] = torch.stack(right).mean(0)
    return found


def rows_of(found: Sequence[Mapping[str, Tensor]]) -> Hits:
    """Return rows' means over draws, task by task."""
    return [rows.tolist() for rows in averaged(found).values()]


def words(world: World, _: str) -> list[dict[str, Any]]:
    """Measure prompts in the words of training and in others."""
    out: list[dict[str, Any]] = []
    for wordings, rows in CONDITIONS:
        some = [way for way in WAYS if way in MAIN or (wordings, rows) in CONDITIONS[::2]]
        found: dict[str, dict[str, Hits]] = {}
        for way in some:
            vector, learn = WAYS[way]
            scorers = [learn(world.lessons(vector, rows, wordings, draw)) for draw in range(DRAWS)]
            found[way] = {
                test: rows_of([hits(world, vector, way, score, test) for score in scorers])
                for test in TESTS
            }
            out += [
                {
                    **{"way": way, "wordings": wordings, "rows": rows, "test": test},
                    **share(found[way][test]),
                    "gap": gap(found[way][test], found[TODAY][test]),
                }
                for test in TESTS
            ]
    return out


def small(world: World, data: str) -> list[dict[str, Any]]:
    """Measure fifty and a hundred small tasks."""
    stream = load_stream(
        StreamSettings(
            order="4", data_root=data, dev_from="train", train_per_task=1000, test_per_task=3500
        )
    )[0]
    tasks = small_tasks(stream)
    vectors: dict[tuple[str, str, str], Tensor] = {}
    for name, task in tasks.items():
        for split, rows in (("train", task.train), ("test", task.test)):
            kinds = {
                "asked": [ordinary(task.task, row.text) for row in rows],
                "alone": [bare(row.text) for row in rows],
            }
            for kind, prompts in kinds.items():
                ids = read(world.backbone, prompts)
                for vector in ("mean", "root"):
                    stack = torch.stack([VECTORS[vector](world.backbone, each) for each in ids])
                    vectors[name, f"{split}, {kind}", vector] = stack
    out: list[dict[str, Any]] = []
    for names in ([*tasks][::2], [*tasks]):
        for count in COUNTS:
            found: dict[str, Hits] = {}
            for way in (*MAIN, "texts alone pooled"):
                vector, learn = WAYS[way]
                lessons = [
                    Lesson(
                        *(vectors[name, f"train, {k}", vector][:count] for k in ("asked", "alone"))
                    )
                    for name in names
                ]
                score = learn(lessons)
                right = [
                    (score(vectors[name, "test, asked", vector]).argmax(1) == place)
                    .double()
                    .tolist()
                    for place, name in enumerate(names)
                ]
                found[way] = right
                entry = {"way": way, "tasks": len(names), "rows": count}
                out.append({**entry, **share(right), "gap": gap(right, found[TODAY])})
    return out


def uneven(world: World, _: str) -> list[dict[str, Any]]:
    """Measure tasks of uneven sizes, with means that are taken for certain and that are not."""
    tests = ("as asked", "other words", "text alone")
    out: list[dict[str, Any]] = []
    for test in tests:
        found: dict[str, Hits] = {}
        for way, certain in ((TODAY, False), (CHOSEN, True), (CHOSEN, False)):
            vector, each = WAYS[way][0], []
            for draw in range(DRAWS):
                whole = world.lessons(vector, max(UNEVEN), 1, draw)
                sizes = [UNEVEN[(place + draw) % len(UNEVEN)] for place in range(len(whole))]
                cut = [
                    Lesson(o.prompts[:n], o.texts[:n]) for o, n in zip(whole, sizes, strict=True)
                ]
                stages = plug_in(staged(BEST, cut)) if certain else staged(HOW[way], cut)
                each.append(hits(world, vector, way, scorer(stages), test))
            name = f"{way}, means taken for certain" if certain else way
            found[name] = rows_of(each)
            out.append(
                {
                    "way": name,
                    "test": test,
                    **share(found[name]),
                    "gap": gap(found[name], found[TODAY]),
                }
            )
    return out


def scorer(stages: Stages) -> Scorer:
    """Return what scores prompts by stages."""
    return lambda x: many(stages, x)


def returning(world: World, _: str) -> list[dict[str, Any]]:
    """Measure where rows of a task go that was learned twice, first of few rows."""
    out: list[dict[str, Any]] = []
    for way, certain in ((TODAY, False), (CHOSEN, True), (CHOSEN, False)):
        vector = WAYS[way][0]
        for first, again in ((16, 96), (96, 96), (96, 16)):
            counts = {"first": 0, "again": 0, "elsewhere": 0}
            whole = world.lessons(vector, first + again, 1, 0)
            for place, name in enumerate(world.names):
                lessons = [Lesson(o.prompts[:first], o.texts[:first]) for o in whole]
                lessons.append(Lesson(whole[place].prompts[first:], whole[place].texts[first:]))
                stages = staged(HOW[way], lessons)
                score = scorer(plug_in(stages) if certain else stages)
                chosen = score(world.test(name, "wording 0", vector)).argmax(1)
                counts["first"] += int((chosen == place).sum())
                counts["again"] += int((chosen == len(whole)).sum())
                counts["elsewhere"] += int(((chosen != place) & (chosen != len(whole))).sum())
            name = f"{way}, means taken for certain" if certain else way
            out.append({"way": name, "rows": [first, again], **counts})
    return out


def bare_texts(world: World, _: str) -> list[dict[str, Any]]:
    """Measure texts without any words, put into each task's words in turn or sent as they are."""
    out: list[dict[str, Any]] = []
    tasks = world.stream.tasks
    every = {
        (task.name, other.name): read(
            world.backbone, [build_prompt(other, row.text) for row in task.test]
        )
        for task in tasks
        for other in tasks
    }
    for way in (TODAY, CHOSEN):
        reader = Reader(world.backbone, HOW[way])
        stages = staged(HOW[way], world.lessons(WAYS[way][0], 96, 1, 0))
        kinds: dict[str, Hits] = {
            "fit in own words": [],
            "posterior in own words": [],
            "as it is": [],
        }
        for place, task in enumerate(tasks):
            fits, posteriors = [], []
            for stage, other in enumerate(tasks):
                x = reader.vectors(every[task.name, other.name])
                found = many(stages, x)
                fits.append(-distances(stages, x, stage) / 2)
                posteriors.append(found.log_softmax(1)[:, stage])
            for kind, columns in (
                ("fit in own words", fits),
                ("posterior in own words", posteriors),
            ):
                kinds[kind].append((torch.stack(columns, 1).argmax(1) == place).double().tolist())
            x = world.test(task.name, "text alone", WAYS[way][0])
            kinds["as it is"].append((many(stages, x).argmax(1) == place).double().tolist())
        out += [{"way": way, "text": kind, **share(rows)} for kind, rows in kinds.items()]
    return out


def distances(stages: Stages, x: Tensor, stage: int) -> Tensor:
    """Return (prompts) squared Mahalanobis distances to a stage's mean."""
    root = torch.linalg.cholesky(stages.covariance())
    rest = (x.double() - stages.means[stage].double()).T
    return torch.linalg.solve_triangular(root, rest, upper=False).square().sum(0)


def none(world: World, _: str) -> list[dict[str, Any]]:
    """Measure how many prompts go to no stage: of learned tasks, left-out ones and none."""
    strangers = of_no_task(world.backbone)
    ids = {kind: read(world.backbone, prompts) for kind, prompts in strangers.items()}
    out: list[dict[str, Any]] = []
    for way, reject in REJECTS:
        how, vector = HOW[way].replace(reject=reject), WAYS[way][0]
        reader = Reader(world.backbone, how)
        foreign = {kind: reader.vectors(prompts) for kind, prompts in ids.items()}
        for rows in (96, 16):
            lessons = world.lessons(vector, rows, 1, 0)
            stages = staged(how, lessons)
            entry = {"way": way, "reject": reject, "rows": rows}
            for test, kinds in TESTS.items():
                x = torch.cat(
                    [
                        world.test(name, seen_by(way, kind), vector)
                        for name in world.names
                        for kind in kinds
                    ]
                )
                out.append(
                    {**entry, "of": test, **counted(rejected(stages, many(stages, x), x), len(x))}
                )
            for kind, x in foreign.items():
                out.append(
                    {**entry, "of": kind, **counted(rejected(stages, many(stages, x), x), len(x))}
                )
            left = [0, 0]
            for place, name in enumerate(world.names):
                others = staged(how, [*lessons[:place], *lessons[place + 1 :]])
                x = world.test(name, "wording 0", vector)
                left[0] += rejected(others, many(others, x), x)
                left[1] += len(x)
            out.append({**entry, "of": "left out", **counted(*left)})
    return out


def sure(world: World, _: str) -> list[dict[str, Any]]:
    """Measure how often a posterior is right when it is so sure."""
    out: list[dict[str, Any]] = []
    for way in (TODAY, CHOSEN):
        vector = WAYS[way][0]
        for rows in (96, 16):
            stages = staged(HOW[way], world.lessons(vector, rows, 1, 0))
            for test in ("as asked", "other words", "free", "text alone"):
                scores, right = [], []
                for place, name in enumerate(world.names):
                    for kind in TESTS[test]:
                        x = world.test(name, kind, vector)
                        scores.append(many(stages, x))
                        right.append(torch.full((len(x),), place))
                for temperature in TEMPERATURES:
                    found = reliability(torch.cat(scores), torch.cat(right), temperature)
                    own = temperature == HOW[way].temperature
                    bins = found["bins"] if own and rows == 96 else []
                    entry = {"way": way, "rows": rows, "test": test, "temperature": temperature}
                    out.append({**entry, **found, "bins": bins})
    return out


def cost(world: World, _: str) -> list[dict[str, Any]]:
    """Measure what a prompt's route takes, against a forward pass over it; one thread."""
    rows = [row.text for task in world.stream.tasks for row in task.test[: TIMED // 15 + 1]][:TIMED]
    tasks = [task for task in world.stream.tasks for _ in range(TIMED // 15 + 1)][:TIMED]
    pairs = zip(tasks, rows, strict=True)
    prompts = read(world.backbone, [build_prompt(task, text) for task, text in pairs])
    model, device = world.backbone.model, world.backbone.model.device
    with torch.no_grad():
        passes = timed(
            lambda ids: model(input_ids=torch.tensor([ids], device=device), logits_to_keep=1),
            prompts,
        )
    out: list[dict[str, Any]] = []
    for way in (TODAY, CHOSEN):
        lessons = world.lessons(WAYS[way][0], 96, 1, 0)
        for stages in (15, 100):
            learned = staged(HOW[way], [lessons[k % len(lessons)] for k in range(stages)])
            router = Router(world.backbone, learned)
            router.read(prompts[0])  # decomposes the covariance
            router.found.clear()
            numbers = learned.size(stages, learned.width)
            out.append(
                {
                    "way": way,
                    "stages": stages,
                    "seconds": timed(router.read, prompts),
                    "pass_seconds": passes,
                    "tokens": sum(map(len, prompts)) / len(prompts),
                    "bytes_per_stage": 4 * (numbers - learned.size(0, learned.width)) // stages,
                    "bytes_once": 4 * learned.size(0, learned.width),
                }
            )
    return out


def timed(work: Callable[[Any], object], prompts: Sequence[Any]) -> float:
    """Return the processor seconds that a prompt takes."""
    work(prompts[-1])
    begun = time.process_time()
    for ids in prompts[:-1]:
        work(ids)
    return (time.process_time() - begun) / (len(prompts) - 1)


PARTS: Mapping[str, Callable[[World, str], list[dict[str, Any]]]] = {
    "words": words,
    "small": small,
    "uneven": uneven,
    "returning": returning,
    "bare": bare_texts,
    "none": none,
    "sure": sure,
    "cost": cost,
}
