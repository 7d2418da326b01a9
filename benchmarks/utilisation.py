"""Share of this machine's own rate of matrix products that training and evaluation reach.

Floating-point operations are counted (`flops.py`) and never measured; the rate is that of the
fastest product among the model's own shapes, timed in turn with the work. Whatever is no matrix
product of the model (attention, norms, the optimiser, our own loop) counts as loss, so 1 is out of
reach.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from flops import count, shapes
from learner import RANK, encoded, grown, one_step, tokens_of
from matmul import Product, fastest
from peak import ROWS, TEXT, Kind, peak_bytes
from row import Row
from scoring import score
from size import Size
from subjects import Subject, subjects
from timing import pair
from words import made_up

LORAS = 15
SQUARE = (2048, 2048)
"""A product that stands beside the model's own shapes, as libraries like it best."""


@dataclass(frozen=True)
class Work:
    """Something that a model does, and what it takes by counting."""

    kind: Kind
    run: Callable[[], object]
    operations: int
    """Floating-point."""
    tokens: int


def rows(size: Size) -> Iterator[Row]:
    """Measure each model: its matrix products, a training step, and scoring."""
    pairs = {"full": 7, "quick": 3, "smoke": 1}[size]
    with subjects(size) as found:
        for subject in found:
            backbone = subject.load()
            precision, sizes = backbone.precision, shapes(backbone)
            if size != "smoke":
                sizes.append(SQUARE)
            del backbone
            other = torch.float32 if precision != torch.float32 else torch.bfloat16
            own = fastest(precision, sizes)
            yield rates(subject, own, fastest(other, sizes), precision)
            for make in (training, evaluation):
                yield share(subject, make(subject), own, pairs)


def rates(subject: Subject, own: Product, other: Product, precision: torch.dtype) -> Row:
    """Compare the rate of the model's precision with that of the other one."""
    name = str(precision).removeprefix("torch.")
    return Row(
        name=f"rate of products, {name} / other precision",
        ratio=own.rate / other.rate,
        direction="at least",
        detail=f"{subject.label}: {own.rate / 1e9:.1f} GFLOP/s at {own.shape},"
        f" {other.rate / 1e9:.1f} at {other.shape}",
    )


def training(subject: Subject) -> Work:
    """Return a step of the loop, optimiser included."""
    backbone = subject.load()
    products, (tokens, targets) = count(backbone), tokens_of(encoded(backbone))
    operations = products.training(tokens, targets, rows=LORAS * RANK, trained=RANK)
    return Work("train", one_step(subject, LORAS), operations, tokens)


def evaluation(subject: Subject) -> Work:
    """Return scoring from rows to decisions; the pass alone is counted."""
    products = count(subject.load())
    backbone = grown(subject, LORAS).backbone
    data = made_up(backbone, rows=ROWS, instruction=0, text=TEXT)
    tokens, targets = tokens_of(data)
    operations = products.forward(tokens, targets, rows=LORAS * RANK)
    return Work("evaluate", lambda: score(backbone, data), operations, tokens)


def share(subject: Subject, work: Work, own: Product, pairs: int) -> Row:
    """Time the work in turn with the fastest product, and tell both rates and the memory."""
    timed = pair(own.run, work.run, pairs=pairs, warm=1)
    loaded, peak = peak_bytes(work.kind, LORAS, subject)
    name = {"train": "training step", "evaluate": "evaluation"}[work.kind]
    return Row(
        name=f"{name}, N={LORAS}, share of the rate of products",
        ratio=timed.ratio * work.operations / own.operations,
        direction="at least",
        floor=1.0,
        detail=f"{subject.label}: {work.operations / 1e9:.1f} GFLOP in {timed.second:.3f} s,"
        f" {work.tokens / timed.second:.0f} tokens/s, {peak / 2**20:.0f} MiB at most,"
        f" {loaded / 2**20:.0f} with the model alone",
    )
