"""Score a run's rows with the model as it is, each process its share."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from amlora.engine.answer import Answer, Counts
from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate, length, length_batches, target_logits
from amlora.engine.encode import Row
from amlora.engine.exact import measure_margin, score_rows
from amlora.engine.generate import inference
from amlora.engine.likelihood import answer_likelihoods
from amlora.engine.settings import EvaluateSettings, Scope
from amlora.evaluate.course import Course
from amlora.experiment.general import General, moment
from amlora.experiment.prepare import Prepared
from amlora.experiment.processes import share_out
from amlora.formats import parse_json
from amlora.mixture.route import NONE, by_name, noted
from amlora.records.beside import Decision
from amlora.records.schema import Routing, Unrelated

Moment = Literal["before", "entered", "learned"]
MOST = 2048
"""Tokens that are read to time it, about."""
TIE = 1e-6
"""Two best logits that are closer than this are one and the same in bfloat16."""


def ready(prepared: Prepared, j: int) -> Sequence[Row]:
    """Prepare the model for answers on a task, and return its rows as the model reads them."""
    method, task = prepared.method, prepared.stream.tasks[j].name
    method.route(task if method.needs_task_id else None)
    return method.readable(prepared.scored[j], scoring=True)


def with_margin(prepared: Prepared, groups: Iterable[Sequence[Row]]) -> EvaluateSettings:
    """Measure, on a few rows of each task's, how close two logits may come to be trusted.

    In bfloat16 the pass rounds as much as generation does, so neither is nearer to the model's own
    answer: only ties are generated.
    """
    settings = prepared.settings.evaluate
    if settings.margin is not None or settings.method == "generate":
        return settings
    if prepared.backbone.precision != torch.float32:
        return settings.replace(margin=TIE)
    return settings.replace(margin=max(measure_margin(prepared.backbone, rows) for rows in groups))


def answers_of(
    backbone: Backbone, accelerator: Accelerator, rows: Sequence[Row], settings: EvaluateSettings
) -> tuple[list[Answer], Counts]:
    """Score one task's rows, each process its share."""
    counted: list[Counts] = []

    def score(mine: Sequence[Row]) -> list[Answer]:
        answers, counts = score_rows(backbone, mine, settings)
        counted.append(counts)
        return answers

    answers = share_out(accelerator, rows, score)
    alone = accelerator.num_processes == 1
    return answers, sum(counted if alone else gather_object(counted), Counts())


def measure_general(
    prepared: Prepared, general: General, accelerator: Accelerator, after: int
) -> Unrelated:
    """Measure texts and questions of no task; return what a record says of it."""
    backbone, method = prepared.backbone, prepared.method
    method.route(None)
    passages = method.readable(general.passages, scoring=True)
    questions = method.readable(general.questions, scoring=True)
    # Whatever the tasks' answers need, and without a change to how those are scored.
    settings = with_margin(prepared, [questions])
    room = max(settings.max_new_tokens, *(len(row.answer_ids) for row in questions))
    settings = settings.replace(max_new_tokens=room)
    found = share_out(
        accelerator,
        [*passages, *questions],
        lambda mine: answer_likelihoods(backbone, mine, settings.tokens_per_batch),
    )
    answers, _ = answers_of(backbone, accelerator, questions, settings)
    return moment(after, passages, questions, found, answers)


def scored_line(counts: Counts, seconds: float, reading: float) -> str:
    """Return how an evaluation went, beside a bare forward pass over the same rows."""
    kinds = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in asdict(counts).items())
    return (
        f"{counts.rows} rows scored ({kinds}), {counts.rows / seconds:.1f} rows/s; reading them"
        f" once: about {counts.rows / reading:.1f} rows/s."
    )


def answer_line(
    phase: str, after: int, answer: Answer, gold: Row, stages: Sequence[str]
) -> Decision:
    """Return one row of rows.jsonl; `stages` are the names of all."""
    named = by_name(gold.route, stages)
    routed = {} if named is None else {"stages": named, **noted(gold.belief, stages)}
    return Decision(
        phase=phase,
        after=after,
        task=answer.task,
        row=answer.row,
        hit=answer.hit,
        how=answer.how,
        answer=answer.text,
        gold=gold.gold,
        **routed,
    )


def to_score(scope: Scope, moment: Moment, stage: int, course: Course) -> Sequence[int]:
    """Return the places of the tasks to score.

    Args:
        scope: the setting.
        moment: before any learning; once a newcomer has entered and not yet learned, where that
            changes answers; or after a stage has learned.
        stage: from 0; -1 before any learning.
        course: of the run.
    """
    tasks = range(len(course.first))
    if moment == "before":
        return tasks if scope in ("needed", "all") else ()
    if moment == "entered":
        return tasks[: course.begun(stage)] if scope in ("needed", "all") else ()
    if scope == "all" or (scope == "ends" and stage + 1 == course.stages):
        return tasks
    if scope == "ends":
        return [task for task in tasks if course.learned[task] == stage + 1]
    return tasks[: course.begun(stage + 1) + (scope == "needed")]


def read_seconds(backbone: Backbone, rows: Sequence[Row]) -> float:
    """Time one bare forward pass over the rows of middle length, without a shared prefix.

    The model must have run once: a first pass is slower. Returns the seconds a token of prompt or
    answer; padding is not counted.
    """
    batches = length_batches(rows, MOST)
    batch = [rows[i] for i in batches[len(batches) // 2]]
    with inference(backbone):
        begun = time.perf_counter()
        target_logits(backbone, collate(batch, backbone, share=1.0)).sum().item()  # waits for a GPU
        return (time.perf_counter() - begun) / sum(map(length, batch))


def routing(rows: bytes, stages: Sequence[str]) -> Routing | None:
    """Return the mean weight of each stage over each task's rows in rows.jsonl.

    `stages` are the names of all. None where the method routes no rows.
    """
    lines = [parse_json("rows.jsonl", line) for line in rows.splitlines()]
    last = max(line["after"] for line in lines)
    found: dict[str, list[dict[str, float]]] = {}
    for line in lines:
        if line["after"] == last and line["phase"] == "learned" and "stages" in line:
            found.setdefault(line["task"], []).append(line["stages"])
    if not found:
        return None
    names = [NONE, *stages]
    shares = tuple(
        tuple(sum(row.get(name, 0.0) for row in routed) / len(routed) for name in names)
        for routed in found.values()
    )
    return Routing(stages=tuple(names), tasks=tuple(found), shares=shares)
