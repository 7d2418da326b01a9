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
from amlora.engine.encode import Row, decode
from amlora.engine.exact import Passed, measure_margin, passes, score_passed
from amlora.engine.settings import EvaluateSettings
from amlora.engine.until_certain import generate_until_certain
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
    passed = sorted(passes(backbone, rows, tokens_per_batch), key=lambda found: found.place)
    losses = [fmean(found.losses) for found in passed]
    if metric == "loss":
        return [Scored(None, math.exp(-loss), loss) for loss in losses]
    margin = margin_of(backbone, rows)
    settings = EvaluateSettings(
        tokens_per_batch=tokens_per_batch, max_new_tokens=max_new_tokens, margin=margin
    )
    if metric == "exact" and not texts:
        answers, _ = score_passed(backbone, rows, passed, settings)
        hits = (float(answer.hit) for answer in answers)
        return [Scored(None, hit, loss) for hit, loss in zip(hits, losses, strict=True)]
    measure = metric_of(metric)
    said = whole_answers(backbone, rows, passed, settings)
    return [
        Scored(answer, measure(answer, row.gold), loss)
        for answer, row, loss in zip(said, rows, losses, strict=True)
    ]


def margin_of(backbone: Backbone, rows: Sequence[Row]) -> float:
    """Return how far a best token must lead to be that of generation at batch one.

    In bfloat16 any two ways round as much, so neither is nearer to the model's own answer: only
    ties are told.
    """
    return measure_margin(backbone, rows) if backbone.precision == torch.float32 else TIE


def whole_answers(
    backbone: Backbone, rows: Sequence[Row], passed: Sequence[Passed], settings: EvaluateSettings
) -> list[str]:
    """Return each row's answer to its end; `passed` is in the order of the rows."""
    assert settings.margin is not None
    answers = [known_answer(backbone, *pair, settings) for pair in zip(rows, passed, strict=True)]
    open_ = [i for i, answer in enumerate(answers) if answer is None]
    texts = generate_until_certain(backbone, [rows[i] for i in open_], settings, whole=True)
    generated = dict(zip(open_, texts, strict=True))
    return [
        (generated[i] if answer is None else answer).strip() for i, answer in enumerate(answers)
    ]


def known_answer(
    backbone: Backbone, row: Row, passed: Passed, settings: EvaluateSettings
) -> str | None:
    """Return a row's answer where the pass tells it whole: it follows the right one to an end.

    None where it goes another way, is cut off, or a token's lead is within the margin.
    """
    assert settings.margin is not None
    ends = backbone.end_ids
    for at, (best, right) in enumerate(zip(passed.best, row.answer_ids, strict=True)):
        if at >= settings.max_new_tokens or not passed.leads[at] >= settings.margin:
            return None
        if best in ends:
            return decode(backbone, row.answer_ids[:at])
        if best != right:
            return None
    return None


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
