"""What `router.py` counts: shares with intervals, paired gaps, rejections, reliability."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from amlora.evaluate.statistics import paired_bootstrap, wilson_interval
from amlora.mixture.stages import Stages

DRAWS = 2000
"""Bootstrap samples."""
Hits = list[list[float]]
"""Of each task, each test row's: 0..1, a mean over draws of training rows and over words."""


def share(hits: Hits) -> dict[str, float]:
    """Return the mean over tasks of the share that is right, and its 95 % interval over rows."""
    return gap(hits, [[0.0] * len(rows) for rows in hits])


def gap(hits: Hits, other: Hits) -> dict[str, float]:
    """Return the mean over tasks of a paired difference, and its 95 % interval over rows."""
    found = paired_bootstrap(hits, other, seed=0, draws=DRAWS)
    low, high = found.interval
    return {
        key: round(v, 5)
        for key, v in zip(("mean", "low", "high"), (found.mean, low, high), strict=True)
    }


def counted(hits: int, rows: int) -> dict[str, float]:
    """Return a share of rows and its 95 % interval."""
    low, high = wilson_interval(hits, rows)
    return {
        "scored": rows,
        "mean": round(hits / rows, 5),
        "low": round(low, 5),
        "high": round(high, 5),
    }


def rejected(stages: Stages, scores: Tensor, x: Tensor) -> int:
    """Return how many of some prompts (prompts, D) are of no stage, given their scores."""
    likeliest = scores.argmax(1)
    rest = x.double() - stages.widest.means[likeliest].double()
    squared = (rest.square() / stages.variances[likeliest].double()).sum(1)
    return int((squared / stages.limits[likeliest] > 1).sum())


def reliability(
    scores: Tensor, right: Tensor, temperature: float, bins: int = 10
) -> dict[str, Any]:
    """Return how sure the posterior is and how often it is right, by tenths of sureness.

    Args:
        scores: (prompts, stages).
        right: (prompts) the stage that each is of.
        temperature: divides the scores.
        bins: how many.
    """
    posterior = (scores / temperature).softmax(1)
    sure, chosen = posterior.max(1)
    hit = (chosen == right).double()
    place = (sure * bins).long().clamp(max=bins - 1)
    table: list[dict[str, float]] = []
    error = 0.0
    for number in range(bins):
        there = place == number
        rows = int(there.sum())
        if rows:
            told, true = float(sure[there].mean()), float(hit[there].mean())
            error += rows / len(sure) * abs(told - true)
            table.append(
                {"bin": number, "rows": rows, "told": round(told, 4), "true": round(true, 4)}
            )
    loss = -posterior.gather(1, right[:, None]).clamp(min=1e-12).log().mean()
    return {"error": round(error, 5), "loss": round(float(loss), 5), "bins": table}


def averaged(found: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of what several draws found, by name."""
    return {name: torch.stack([each[name] for each in found]).mean(0) for name in found[0]}
