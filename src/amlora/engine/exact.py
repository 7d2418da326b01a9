"""Exact match without generating: one forward pass decides most rows, the rest are generated.

Every decision is the one that greedy generation at batch one and `is_match` would give. A row is
generated if the pass cannot know the whole answer (`answer.judge`), or if two logits that it relied
on were closer than the rounding between a padded pass and step-by-step generation can move them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from amlora.engine.answer import Answer, Counts, decoded_answer, judge
from amlora.engine.backbone import Backbone
from amlora.engine.batch import by_stage, similar
from amlora.engine.encode import Row, decode
from amlora.engine.generate import Seen, generate_each, generate_ids, inference
from amlora.engine.prefix import Prefix, common_start, shared_prefix
from amlora.engine.settings import EvaluateSettings
from amlora.engine.until_certain import generate_until_certain

SAMPLE = (2, 8)  # fewest and most rows on which the margin is measured
SAMPLED = 32  # one row in so many, between those two
SAFETY = 4.0  # how far rows outside the sample may deviate more
SMALLEST_MARGIN = 1e-4  # logits; well over float32's rounding at usual logits
STEPS = 2  # a margin is at least so many steps between neighbouring numbers of the precision
CANDIDATES = 8  # tokens that compete for being the best one


@dataclass(frozen=True, slots=True)
class Passed:
    """What a pass over prompt and gold answer finds of one row, a number for each answer token."""

    place: int
    """Of the row among those given."""
    best: list[int]
    """The likeliest token."""
    leads: list[float]
    """How far its logit is above the second best."""
    losses: list[float]
    """Of the gold token, in nats."""


def score_rows(
    backbone: Backbone, rows: Sequence[Row], settings: EvaluateSettings
) -> tuple[list[Answer], Counts]:
    """Score rows in the way that the settings name.

    By "generate" every answer is generated at batch one and compared: the reference. By "pass" one
    teacher-forced pass decides, and those that it leaves open are generated.

    Args:
        backbone: the model; its mode is as before afterwards.
        rows: with their gold answers.
        settings: without a margin, one is measured on a few of the rows.

    Returns:
        One answer per row, in the order of the rows, and how they were decided.
    """
    if settings.method == "generate":
        most, rule = settings.max_new_tokens, settings.rule
        prompts, routes = [row.prompt_ids for row in rows], [row.route for row in rows]
        ids = generate_each(backbone, prompts, max_new_tokens=most, routes=routes)
        made = zip(rows, ids, strict=True)
        answered = [decoded_answer(row, decode(backbone, each), rule) for row, each in made]
        return answered, Counts(undecided=len(rows))
    if settings.margin is None:
        settings = settings.replace(margin=measure_margin(backbone, rows))
    passed = passes(backbone, rows, settings.tokens_per_batch)
    return score_passed(backbone, rows, passed, settings)


def score_passed(
    backbone: Backbone, rows: Sequence[Row], passed: Iterable[Passed], settings: EvaluateSettings
) -> tuple[list[Answer], Counts]:
    """Do what `score_rows` does by "pass" with what the pass over the rows has found already.

    The settings have a margin.
    """
    margin, rule = settings.margin, settings.rule
    assert margin is not None
    answers: dict[int, Answer] = {}
    undecided: list[int] = []
    low_margin: list[int] = []
    for found in passed:
        i, row = found.place, rows[found.place]
        verdict = judge(
            found.best,
            row.answer_ids,
            row.gold,
            end_ids=backbone.end_ids,
            max_new_tokens=settings.max_new_tokens,
            decode=lambda ids: decode(backbone, ids),
            rule=rule,
        )
        if not min(found.leads[: verdict.positions]) >= margin:  # NaN leads nothing
            low_margin.append(i)
        elif verdict.outcome == "undecided":
            undecided.append(i)
        else:
            answers[i] = Answer(row.task, row.row, verdict.outcome == "hit", "pass", None)
    hits = sum(answer.hit for answer in answers.values())
    counts = Counts(hits, len(answers) - hits, len(undecided), len(low_margin))
    # A close call is generated alone: a budget of one token puts every row in its own batch.
    for left, budget in ((undecided, settings.tokens_per_batch), (low_margin, 1)):
        how = settings.replace(tokens_per_batch=budget)
        texts = generate_until_certain(backbone, [rows[i] for i in left], how)
        for i, text in zip(left, texts, strict=True):
            answers[i] = decoded_answer(rows[i], text, rule)
    return [answers[i] for i in range(len(rows))], counts


def passes(backbone: Backbone, rows: Sequence[Row], tokens_per_batch: int) -> Iterator[Passed]:
    """Yield what a teacher-forced pass finds of each row, in any order."""
    for places in by_stage(rows):
        group = [rows[i] for i in places]
        with inference(backbone):
            prefix = shared_prefix(backbone, group)
        group = [prefix.cut(row) for row in group]
        for chosen in similar(group, tokens_per_batch):
            batch = [group[i] for i in chosen]
            with inference(backbone):
                logits = answer_logits(backbone, batch, prefix)
            answers = [row.answer_ids for row in batch]
            yield from found_of(logits, answers, [places[i] for i in chosen])


def found_of(
    logits: Tensor, answers: Sequence[Sequence[int]], places: Sequence[int]
) -> list[Passed]:
    """Return what logits (answer tokens of all rows in turn, vocabulary) say of right answers."""
    top = logits.topk(2)
    golds = torch.tensor([token for ids in answers for token in ids], device=logits.device)
    right = logits.gather(-1, golds.unsqueeze(-1)).squeeze(-1)
    best = top.indices[:, 0].tolist()
    gaps = (top.values[:, 0] - top.values[:, 1]).tolist()
    losses = (logits.logsumexp(-1) - right).tolist()
    found: list[Passed] = []
    first = 0
    for place, ids in zip(places, answers, strict=True):
        part = slice(first, first + len(ids))
        found.append(Passed(place, best[part], gaps[part], losses[part]))
        first = part.stop
    return found


def answer_logits(backbone: Backbone, rows: Sequence[Row], prefix: Prefix) -> Tensor:
    """Return (answer tokens of all cut rows in turn, vocabulary) logits in float32."""
    batch, logits = prefix.logits(backbone, rows)
    return logits[batch.labels >= 0].float()


def measure_margin(backbone: Backbone, rows: Sequence[Row]) -> float:
    """Measure how far the padded pass and generation at batch one disagree about leads.

    A few rows of all lengths go both ways. At every position that generation reached along the gold
    answer, the leads of the best token over the next ones are compared. Where many small tasks are
    scored, measure once on the rows of all and pass the margin on.

    Returns:
        SAFETY times the largest difference, in logits; at least STEPS times the precision's
        rounding at the size of the logits, and SMALLEST_MARGIN.
    """
    if not rows:
        return SMALLEST_MARGIN
    by_length = sorted(range(len(rows)), key=lambda i: (len(rows[i].prompt_ids), i))
    count = min(max(len(rows) // SAMPLED, SAMPLE[0]), SAMPLE[1])
    places = {round(k * (len(rows) - 1) / (count - 1)) for k in range(count)}
    sample = [rows[by_length[place]] for place in sorted(places)]
    largest = size = 0.0
    with inference(backbone):
        for group in ([sample[i] for i in places] for places in by_stage(sample)):
            prefix = shared_prefix(backbone, group)
            logits = answer_logits(backbone, [prefix.cut(row) for row in group], prefix)
            size = max(size, float(logits.amax(-1).abs().max()))
            by_row = logits.split([len(row.answer_ids) for row in group])
            for row, passed in zip(group, by_row, strict=True):
                largest = max(largest, disagreement(backbone, row, passed))
    rounding = STEPS * size * torch.finfo(backbone.precision).eps
    return max(SMALLEST_MARGIN, rounding, SAFETY * largest)


def disagreement(backbone: Backbone, row: Row, passed: Tensor) -> float:
    """Return how far a pass and generation at batch one disagree about a row's leads, in logits.

    `passed` are the pass's (answer tokens, vocabulary) logits.
    """
    seen, length = Seen(Tensor.clone), len(row.answer_ids)
    generate_ids(backbone, [row.prompt_ids], length, watch=seen, routes=[row.route])
    stepped = torch.cat(seen.steps)
    along = stepped.argmax(-1).tolist()
    agreed = min(1 + common_start(along, row.answer_ids), len(along), length)
    return lead_difference(passed[:agreed], stepped[:agreed])


def lead_difference(passed: Tensor, stepped: Tensor) -> float:
    """Return the largest difference between two paths in how far the best token leads others.

    Both are (positions, vocabulary) logits; the best tokens of the first are compared.
    """
    top = passed.topk(min(CANDIDATES, passed.shape[-1]))
    other = stepped.gather(-1, top.indices)
    leads, others = top.values[:, :1] - top.values, other[:, :1] - other
    return float((leads - others).abs().max())
