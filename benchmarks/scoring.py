"""Exact match on the quick-start model: against bare prefill, generation, and no shared prefix."""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from accelerate import Accelerator
from row import Row
from size import Size
from subjects import main_subject
from timing import pair
from words import made_up, made_up_task

from amlora.engine import prefix
from amlora.engine.answer import Answer, Counts
from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate, length, length_batches, target_logits
from amlora.engine.encode import Row as Encoded
from amlora.engine.encode import encode_rows
from amlora.engine.exact import score_rows
from amlora.engine.generate import inference
from amlora.engine.load import load_backbone
from amlora.engine.settings import EvaluateSettings, TrainSettings
from amlora.engine.train import StageProgress, train_stage
from amlora.experiment.evaluation import read_seconds
from amlora.methods.base import Stage
from amlora.methods.lora import OneLoRASettings
from amlora.methods.sin_lora import SinLoRA
from amlora.streams.load import load_stream
from amlora.streams.settings import StreamSettings
from amlora.streams.task import Task

PASS = EvaluateSettings(tokens_per_batch=4096, max_new_tokens=50, margin=0.0)
REFERENCE = EvaluateSettings(method="generate", max_new_tokens=50)
TASK = "questions"
DBPEDIA = (70, (40, 90))
"""Tokens of DBpedia's instruction and options, and of its texts, in this model's tokens."""


def rows(size: Size) -> Iterator[Row]:
    """Compare on untrained rows, then train, then compare again."""
    count, pairs = {"full": (60, 5), "quick": (16, 2), "smoke": (8, 1)}[size]
    with main_subject(size) as subject:
        backbone = load_backbone(subject.settings.replace(max_tokens=192))
    task = chosen_task(size, count)
    scored = encode_rows(backbone, task, task.test, prefix="off", form="full")[0]
    yield against_generation(backbone, scored[: count // 4], "untrained", bar=5.0, pairs=pairs)
    trained = encode_rows(backbone, task, task.train, prefix="off", form="full")[0]
    learn(backbone, trained, steps=24 if size != "smoke" else 2)
    yield against_generation(backbone, scored, "trained", bar=1.2, pairs=pairs)
    yield against_prefill(backbone, scored, pairs)
    yield estimated_prefill(backbone, scored, pairs)
    instruction, text = DBPEDIA
    long = made_up(backbone, rows=count, instruction=instruction, text=text)
    yield against_no_prefix(backbone, long, pairs)
    yield padding(long)


def chosen_task(size: Size, count: int) -> Task:
    """Return the shortest task of the quick start; a made-up one in a smoke run."""
    if size == "smoke":
        return made_up_task("made up", train=8, test=count, words=12, seed=0)
    stream, _ = load_stream(StreamSettings(name="quickstart", test_per_task=count))
    return next(task for task in stream.tasks if task.name == TASK)


def learn(backbone: Backbone, trained: list[Encoded], *, steps: int) -> None:
    """Teach the task, so that answers are short."""
    method = SinLoRA(backbone, OneLoRASettings(), seed=0)
    stage = Stage(0, TASK, trained, steps)
    method.begin(stage)
    settings = TrainSettings(lr=1e-3, bucketed=False)
    train_stage(method, stage, settings, Accelerator(cpu=True), StageProgress(), lambda *_: None)
    method.end(stage)


def score(backbone: Backbone, scored: Sequence[Encoded]) -> list[bool]:
    """Return which rows are hits, decided as in a run under bfloat16."""
    return [answer.hit for answer in passed(backbone, scored)[0]]


def passed(backbone: Backbone, scored: Sequence[Encoded]) -> tuple[list[Answer], Counts]:
    """Score rows as a run does under bfloat16."""
    return score_rows(backbone, scored, PASS)


def against_generation(
    backbone: Backbone, scored: list[Encoded], state: str, *, bar: float, pairs: int
) -> Row:
    """Time generation at batch one against the pass, and count differing decisions."""
    answers, _ = score_rows(backbone, scored, REFERENCE)
    pairs_of = zip(score(backbone, scored), answers, strict=True)
    differ = sum(ours != answer.hit for ours, answer in pairs_of)
    timed = pair(
        lambda: score_rows(backbone, scored, REFERENCE),
        lambda: score(backbone, scored),
        pairs=max(1, pairs // 2),
        warm=1,
    )
    return Row(
        name=f"generation / scoring, {state} rows",
        ratio=timed.ratio,
        bar=bar,
        direction="at least",
        detail=f"{len(scored)} rows of {scored[0].task}, {len(scored) / timed.second:.1f} rows/s,"
        f" {differ} decisions differ",
    )


def prefill(backbone: Backbone, scored: list[Encoded]) -> None:
    """Run a bare forward pass over the rows, in the batches that scoring without a prefix has."""
    with inference(backbone):
        for chosen in length_batches(scored, PASS.tokens_per_batch):
            target_logits(backbone, collate([scored[i] for i in chosen], backbone, share=1.0))


def against_prefill(backbone: Backbone, scored: list[Encoded], pairs: int) -> Row:
    """Time a bare forward pass over the same rows against scoring."""
    timed = pair(
        lambda: prefill(backbone, scored), lambda: score(backbone, scored), pairs=pairs, warm=1
    )
    return Row(
        name="prefill / scoring, trained rows",
        ratio=timed.ratio,
        bar=0.9,
        direction="at least",
        detail=f"{len(scored) / timed.second:.1f} rows/s scored, {len(scored) / timed.first:.1f}"
        " rows/s prefilled without a shared prefix",
    )


def estimated_prefill(backbone: Backbone, scored: list[Encoded], pairs: int) -> Row:
    """Compare what a run tells from one batch with a bare forward pass over all rows."""
    told: list[float] = []

    def estimating() -> None:
        told.append(sum(map(length, scored)) * read_seconds(backbone, scored))

    timed = pair(estimating, lambda: prefill(backbone, scored), pairs=pairs, warm=1)
    estimate = statistics.median(told[1:])
    return Row(
        name="prefill as a run estimates it / prefill, seconds",
        ratio=estimate / timed.second,
        detail=f"{len(scored) / estimate:.1f} rows/s estimated,"
        f" {len(scored) / timed.second:.1f} timed",
    )


def against_no_prefix(backbone: Backbone, long: list[Encoded], pairs: int) -> Row:
    """Time scoring with the shared instruction run once, and for every row."""

    def without() -> list[bool]:
        with no_prefix():
            return score(backbone, long)

    timed = pair(without, lambda: score(backbone, long), pairs=pairs, warm=1)
    own = sum(len(row.prompt_ids) for row in long) / len(long)
    return Row(
        name="scoring without / with a shared prefix",
        ratio=timed.ratio,
        bar=1.5,
        direction="at least",
        floor=own / (own - DBPEDIA[0]),
        detail=f"{DBPEDIA[0]} shared tokens of {own:.0f}, as in DBpedia",
    )


@contextmanager
def no_prefix() -> Iterator[None]:
    """Share nothing inside."""
    shortest = prefix.SHORTEST
    prefix.SHORTEST = 1 << 30
    try:
        yield
    finally:
        prefix.SHORTEST = shortest


def padding(long: list[Encoded]) -> Row:
    """Count padding tokens in the batches that score."""
    real = sum(len(row.prompt_ids) for row in long)
    padded = sum(
        len(chosen) * max(len(long[i].prompt_ids) for i in chosen)
        for chosen in length_batches(long, PASS.tokens_per_batch)
    )
    return Row(
        name="padding of scored tokens",
        ratio=1 - real / padded,
        bar=0.1,
        detail="share of positions that are padding",
    )
