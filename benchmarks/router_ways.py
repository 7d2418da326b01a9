"""The ways to tell a prompt's stage that `router.py` compares."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from amlora.mixture.normals import TAIL, Normals
from amlora.mixture.stages import Stages, StageSettings, Tokens, Words

TODAY, CHOSEN = "today", "any words"


@dataclass(frozen=True)
class Lesson:
    """A stage's training rows: (rows, D) of the prompts, and of their texts alone."""

    prompts: Tensor
    texts: Tensor


def settings(
    *,
    words: Words = "asked",
    tokens: Tokens = "mean",
    shrinkage: float | None = None,
    reject: float = 0.001,
    temperature: float = 1.0,
) -> StageSettings:
    """Return how stages are told, full covariance and hard routes."""
    return StageSettings(
        mixing="hard",
        covariance="full",
        words=words,
        tokens=tokens,
        shrinkage=shrinkage,
        reject=reject,
        temperature=temperature,
    )


BEST = settings(words="any", tokens="root", shrinkage=0.1, reject=0.01, temperature=3.0)
"""What `learn` should use."""


def staged(how: StageSettings, lessons: Sequence[Lesson]) -> Stages:
    """Return the package's own statistic of some stages."""
    stages = Stages(how)
    for lesson in lessons:
        any_words = how.words == "any"
        pair = torch.stack([lesson.prompts, lesson.texts], 1) if any_words else lesson.prompts
        stages.add(pair)
    return stages


def many(stages: Stages, x: Tensor) -> Tensor:
    """Return (prompts, stages) scores; faster than one by one, and equal but for rounding."""
    x = x.double()
    if stages.wide is None:
        return linear(stages.own, x)
    return torch.logaddexp(student(stages.own, x), student(stages.wide, x))


def linear(normals: Normals, x: Tensor) -> Tensor:
    """Do what `Normals.discriminants` does for many vectors."""
    normals.discriminants(x[0])
    assert normals.slopes is not None
    middle, slopes, offsets = normals.slopes
    return (x - middle) @ slopes.T - offsets


def student(normals: Normals, x: Tensor) -> Tensor:
    """Do what `Normals.predictions` does for many vectors."""
    normals.predictions(x[0])
    assert normals.whitened is not None
    middle, matrix, places, (wider, volume) = normals.whitened
    squared = torch.cdist((x - middle) @ matrix.T, places).square()
    far = torch.log1p(squared / (wider * TAIL))
    width = x.shape[1]
    return -(TAIL + width) / 2 * far - width / 2 * wider.log() - volume


def plug_in(stages: Stages) -> Stages:
    """Let stages take their means for certain, however few prompts they are of."""
    for normals in stages.parts().values():
        normals.predictions(normals.means[0].double())
        assert normals.whitened is not None
        middle, matrix, places, (wider, volume) = normals.whitened
        certain = torch.stack([torch.ones_like(wider), volume])
        normals.whitened = middle, matrix, places, certain
    return stages


Scorer = Callable[[Tensor], Tensor]


def of_settings(how: StageSettings) -> Callable[[Sequence[Lesson]], Scorer]:
    """Return what learns stages by settings."""

    def learn(lessons: Sequence[Lesson]) -> Scorer:
        stages = staged(how, lessons)
        return lambda x: many(stages, x)

    return learn


def pooled(lessons: Sequence[Lesson]) -> Scorer:
    """One mean of prompts and texts alone, nothing narrower beside it."""
    both = [Lesson(torch.cat([each.prompts, each.texts]), each.texts) for each in lessons]
    return of_settings(settings(tokens="root", shrinkage=0.1))(both)


def several_means(count: int) -> Callable[[Sequence[Lesson]], Scorer]:
    """Return what learns several means a stage (k-means among whitened prompts), one covariance."""

    def learn(lessons: Sequence[Lesson]) -> Scorer:
        stages = staged(settings(tokens="root", shrinkage=0.1), lessons)
        root = torch.linalg.cholesky(stages.covariance())
        parts, owner = [], []
        for place, lesson in enumerate(lessons):
            white = torch.linalg.solve_triangular(root, lesson.prompts.double().T, upper=False).T
            for group in clusters(white, count):
                parts.append(Lesson(lesson.prompts[group], lesson.texts[group]))
                owner.append(place)
        inner = of_settings(settings(tokens="root", shrinkage=0.1))(parts)
        belongs = torch.tensor(owner)

        def scores(x: Tensor) -> Tensor:
            found = inner(x)
            least = torch.full((len(x), len(lessons)), -torch.inf, dtype=found.dtype)
            return least.scatter_reduce(1, belongs.expand(len(x), -1), found, "amax")

        return scores

    return learn


def clusters(x: Tensor, count: int, rounds: int = 20) -> list[Tensor]:
    """Return the places of each of some clusters, none empty."""
    generator = torch.Generator().manual_seed(0)
    means = x[torch.randperm(len(x), generator=generator)[:count]]
    nearest = torch.zeros(len(x), dtype=torch.int64)
    for _ in range(rounds):
        nearest = torch.cdist(x, means).argmin(1)
        there = [k for k in range(len(means)) if bool((nearest == k).any())]
        means = torch.stack([x[nearest == k].mean(0) for k in there])
    nearest = torch.cdist(x, means).argmin(1)
    groups = [(nearest == k).nonzero()[:, 0] for k in range(len(means))]
    return [group for group in groups if len(group)]


def own_covariances(share: float) -> Callable[[Sequence[Lesson]], Scorer]:
    """Return what learns a covariance a stage: shared correlations, deviations partly its own."""

    def learn(lessons: Sequence[Lesson]) -> Scorer:
        stages = staged(settings(tokens="root", shrinkage=0.1), lessons)
        covariance = stages.covariance()
        shared = covariance.diagonal()
        deviations = shared.sqrt()
        root = torch.linalg.cholesky(covariance / deviations[:, None] / deviations)
        logs = (1 - share) * shared.log() + share * stages.variances.double().log()
        means = stages.means.double()

        def scores(x: Tensor) -> Tensor:
            found: list[Tensor] = []
            for mean, log in zip(means, logs, strict=True):
                rest = ((x.double() - mean) / (log / 2).exp()).T
                white = torch.linalg.solve_triangular(root, rest, upper=False)
                found.append(-(white.square().sum(0) + log.sum()) / 2)
            return torch.stack(found, 1)

        return scores

    return learn


WAYS: Mapping[str, tuple[str, Callable[[Sequence[Lesson]], Scorer]]] = {
    TODAY: ("mean", of_settings(settings())),
    "roots": ("root", of_settings(settings(tokens="root"))),
    "sphere 0.1": ("mean", of_settings(settings(shrinkage=0.1))),
    "roots, sphere 0.1": ("root", of_settings(settings(tokens="root", shrinkage=0.1))),
    CHOSEN: ("root", of_settings(BEST)),
    "any words, plain means": ("mean", of_settings(BEST.replace(tokens="mean"))),
    "any words, estimated sphere": ("root", of_settings(BEST.replace(shrinkage=None))),
    "any words, sphere 0.2": ("root", of_settings(BEST.replace(shrinkage=0.2))),
    "texts alone pooled": ("root", pooled),
    "2 means a task": ("root", several_means(2)),
    "4 means a task": ("root", several_means(4)),
    "own covariances 0.1": ("root", own_covariances(0.1)),
    "first and last 32 tokens": ("ends", of_settings(settings(tokens="root", shrinkage=0.1))),
}
"""By name: which vector, and what learns. The vectors are `router.VECTORS`."""
