"""A whole training step of the quick-start model, against plain PEFT LoRA of rank 8."""

from collections.abc import Callable, Iterator

import torch
from flops import Products, count
from learner import BATCH, RANK, TEXT, encoded, one_step, tokens_of
from peft_side import peft_loras
from row import Row
from size import Size
from subjects import Subject, main_subject
from timing import pair

from amlora.engine.batch import micro_batches, task_loss
from amlora.engine.optimiser import make_optimiser
from amlora.engine.settings import TrainSettings
from amlora.methods.base import ParameterGroup

BARS = {15: 1.15, 100: 1.6}


def rows(size: Size) -> Iterator[Row]:
    """Time N = 15 and N = 100, all without dropout."""
    pairs = {"full": 9, "quick": 4, "smoke": 1}[size]
    with main_subject(size) as subject:
        backbone = subject.load()
        products, (tokens, _) = count(backbone), tokens_of(encoded(backbone))
        del backbone
        for loras, bar in BARS.items():
            plain, ours = plain_lora(subject), one_step(subject, loras)
            timed = pair(ours, plain, pairs=pairs)
            yield Row(
                name=f"training step, N={loras} / PEFT LoRA r={RANK}",
                ratio=timed.ratio,
                bar=bar,
                floor=floor(products, loras),
                detail=f"{subject.label}, {BATCH} rows of {TEXT[0]} to {TEXT[1]} tokens,"
                f" {timed.first:.2f} s, {tokens / timed.first:.0f} tokens/s",
            )


def plain_lora(subject: Subject) -> Callable[[], None]:
    """Return one step of PEFT's LoRA with the same batch, loss, clipping and optimiser."""
    backbone = subject.load()
    weights = peft_loras(backbone, 1)
    data = encoded(backbone)
    optimiser = make_optimiser([ParameterGroup("lora", weights)], TrainSettings(lr=1e-5))
    backbone.model.train()

    def run() -> None:
        for batch in micro_batches(data, backbone, size=BATCH):
            task_loss(backbone, batch).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return run


def floor(products: Products, loras: int) -> float:
    """Return our operations over those of one LoRA, frozen model included, head left out."""
    ours = products.training(1, 0, rows=loras * RANK, trained=RANK)
    return ours / products.training(1, 0, rows=RANK, trained=RANK)
