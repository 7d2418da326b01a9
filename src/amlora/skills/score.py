"""Score rows by a task's metric: their answers, and how likely the right ones are.

One pass over prompts and right answers gives every row's loss. It also tells the answers that are
right to the last token, and with exact match most others' scores; the rest are generated. A row's
answer is that of greedy generation at batch one (in float32), so it does not depend on the rows
that are scored with it. Its loss does by rounding, about 1e-6 nats.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from amlora.engine.backbone import Backbone
from amlora.engine.complete import complete
from amlora.engine.encode import Row
from amlora.engine.exact import measure_margin, passes, score_passed
from amlora.engine.settings import EvaluateSettings
from amlora.records.skills import Metric
from amlora.skills.metric import metric_of

TIE = 1e-6
"""Two best logits that are closer than this are one and the same in bfloat16."""
ROOM = 1.5
"""An answer may be so many times as long as nearly all right ones of the train rows are."""
LONGEST = 256
"""Tokens: no answer is generated beyond, however long right ones are."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a row's answer is worth."""

    answer: str | None
    """The whole answer, without white space around it; None where it was not wanted or needed."""
    score: float
    """0..1, by the metric."""
    loss: float
    """Of the right answer, in nats a token, its end included."""


def score_rows(
    backbone: Backbone,
    rows: Sequence[Row],
    metric: Metric,
    *,
    max_new_tokens: int,
    tokens_per_batch: int,
    texts: bool = False,
) -> list[Scored]:
    """Score rows, each answered by its route.

    Args:
        backbone: the model; its mode is as before afterwards.
        rows: with their right answers, and their routes if there are stages.
        metric: by "loss" nothing is generated and there is no answer.
        max_new_tokens: where an answer stops, see `room_for`.
        tokens_per_batch: most prompt and answer tokens in a forward pass, padding included.
        texts: have every row's whole answer; by "f1" and "rouge-l" they are there anyway.

    Returns:
        One of each row, in the order of the rows.
    """
    margin = TIE if metric == "loss" else margin_of(backbone, rows)
    settings = EvaluateSettings(
        tokens_per_batch=tokens_per_batch, max_new_tokens=max_new_tokens, margin=margin
    )
    if metric == "loss" or (metric == "exact" and not texts):
        passed = sorted(passes(backbone, rows, tokens_per_batch), key=lambda found: found.place)
        losses = [fmean(found.losses) for found in passed]
        if metric == "loss":
            return [Scored(None, math.exp(-loss), loss) for loss in losses]
        answers, _ = score_passed(backbone, rows, passed, settings)
        hits = (float(answer.hit) for answer in answers)
        return [Scored(None, hit, loss) for hit, loss in zip(hits, losses, strict=True)]
    measure = metric_of(metric)
    completed = complete(backbone, rows, settings)
    return [
        Scored((answer := each.text.strip()), measure(answer, row.gold), fmean(each.losses))
        for each, row in zip(completed, rows, strict=True)
    ]


def margin_of(backbone: Backbone, rows: Sequence[Row]) -> float:
    """Return how far a best token must lead to be that of generation at batch one.

    In bfloat16 any two ways round as much, so neither is nearer to the model's own answer: only
    ties are told.
    """
    return measure_margin(backbone, rows) if backbone.precision == torch.float32 else TIE


def room_for(rows: Sequence[Row], least: int = 0) -> int:
    """Return how many tokens an answer may have.

    Args:
        rows: train rows. The answer has ROOM times what 99 of 100 of their right answers need, but
            at most LONGEST.
        least: it has so many in any case: the longest option's.
    """
    lengths = sorted(len(row.answer_ids) for row in rows)
    usual = lengths[math.ceil(0.99 * len(lengths)) - 1]
    return max(least, min(LONGEST, math.ceil(ROOM * usual)))


def mean_score(scored: Sequence[Scored]) -> float:
    """Return the mean score (0..1) of rows, at least one."""
    return fmean(each.score for each in scored)
