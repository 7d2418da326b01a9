"""Score a run's rows with the model as it is, each process its share."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from amlora.engine.answer import Answer, Counts
from amlora.engine.encode import Row
from amlora.engine.exact import measure_margin, score_rows
from amlora.engine.prefill import read_seconds, tokens
from amlora.engine.settings import EvaluateSettings
from amlora.experiment.general import General, moment, shared_likelihoods
from amlora.experiment.prepare import Prepared
from amlora.mixture.route import by_name, noted

TIE = 1e-6
"""Two best logits that are closer than this are one and the same in bfloat16."""


class Evaluation:
    """What a run's evaluations share."""

    def __init__(self, made: Prepared, accelerator: Accelerator) -> None:
        self.made, self.accelerator = made, accelerator
        self.method, self.backbone = made.method, made.backbone
        self.read_seconds: float | None = None  # a token takes in a bare forward pass

    def reading(self, rows: Sequence[Row]) -> float:
        """Return the seconds that reading rows once would take, each process its share."""
        if self.read_seconds is None:
            self.read_seconds = read_seconds(self.backbone, rows)
        return tokens(rows) * self.read_seconds / self.accelerator.num_processes

    def with_margin(self, groups: Iterable[Sequence[Row]]) -> EvaluateSettings:
        """Measure, on a few rows of each task's, how close two logits may come to be trusted.

        In bfloat16 the pass rounds as much as generation does, so neither is nearer to the model's
        own answer: only ties are generated.
        """
        settings = self.made.settings.evaluate
        if settings.margin is not None or settings.method == "generate":
            return settings
        if self.backbone.precision != torch.float32:
            return msgspec.structs.replace(settings, margin=TIE)
        margin = max(measure_margin(self.backbone, rows) for rows in groups)
        return msgspec.structs.replace(settings, margin=margin)

    def ready(self, j: int) -> Sequence[Row]:
        """Prepare the model for answers on a task, and return its rows as the model reads them."""
        task = self.made.stream.tasks[j].name
        self.method.route(task if self.method.needs_task_id else None)
        return self.method.readable(self.made.scored[j])

    def answers(
        self, rows: Sequence[Row], evaluate: EvaluateSettings
    ) -> tuple[list[Answer], Counts]:
        """Score one task's rows, each process its share."""
        accelerator = self.accelerator
        mine = rows[accelerator.process_index :: accelerator.num_processes]
        found, counts = score_rows(self.backbone, mine, evaluate)
        if accelerator.num_processes == 1:
            return found, counts
        gathered: list[Answer] = gather_object(found)
        order = {(answer.task, answer.row): answer for answer in gathered}
        return [order[row.task, row.row] for row in rows], sum(gather_object([counts]), Counts())

    def unrelated(self, general: General, after: int) -> dict[str, Any]:
        """Measure texts and questions of no task; return what a record says of it."""
        self.method.route(None)
        passages = self.method.readable(general.passages)
        questions = self.method.readable(general.questions)
        rows, most = [*passages, *questions], self.made.settings.evaluate.tokens_per_batch
        found = shared_likelihoods(self.backbone, rows, most, self.accelerator)
        # Whatever the tasks' answers need, and without a change to how those are scored.
        evaluate = self.with_margin([questions])
        room = max(evaluate.max_new_tokens, *(len(row.answer_ids) for row in questions))
        evaluate = msgspec.structs.replace(evaluate, max_new_tokens=room)
        answers, _ = self.answers(questions, evaluate)
        return moment(after, passages, questions, found, answers)


def scored_line(counts: Counts, seconds: float, reading: float) -> str:
    """Return how an evaluation went, beside a bare forward pass over the same rows."""
    kinds = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.kinds().items())
    return (
        f"{counts.rows} rows scored ({kinds}), {counts.rows / seconds:.1f} rows/s; reading them"
        f" once: about {counts.rows / reading:.1f} rows/s."
    )


def answer_line(
    phase: str, after: int, answer: Answer, gold: Row, stages: Sequence[str]
) -> dict[str, Any]:
    """Return one row of rows.jsonl; `stages` are the names of all."""
    line = {
        "phase": phase,
        "after": after,
        "task": answer.task,
        "row": answer.row,
        "hit": answer.hit,
        "how": answer.how,
        "answer": answer.text,
        "gold": gold.gold,
    }
    named = by_name(gold.route, stages)
    return line if named is None else {**line, "stages": named, **noted(gold.belief, stages)}
