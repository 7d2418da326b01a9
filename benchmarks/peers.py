"""Several LoRAs at once against `peft`: N active LoRAs, and X-LoRA, on whole models."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from flops import Products, count
from peft_side import ALPHA, RANK, copy_loras, peft_loras, x_lora
from row import Row
from size import Size
from subjects import Subject, subjects
from timing import pair
from torch import Tensor
from words import made_up

from amlora.engine.batch import Batch, collate, target_logits, task_loss
from amlora.engine.generate import inference
from amlora.methods.am_lora import AMLoRA, AMLoRASettings
from amlora.methods.base import Stage
from amlora.methods.inc_lora import IncLoRA
from amlora.methods.lora import LoRAMethod, LoRASettings, OneLoRASettings

BATCH = 8
TEXT = (50, 90)
LORAS = (4, 15)
STEP, FORWARD = "forward and backward", "forward"
CLOSE = 0.05
"""How far apart the logits of one computation may be, relative to their size, in bfloat16."""


@dataclass(frozen=True)
class Side:
    """One of the things compared, on one batch."""

    logits: Callable[[], Tensor]
    """Without gradients."""
    step: Callable[[], None]
    """A forward and a backward pass; gradients are dropped."""


def rows(size: Size) -> Iterator[Row]:
    """Compare on each model; on the quick-start model, which is larger, only at N = 15."""
    pairs = {"full": 7, "quick": 3, "smoke": 1}[size]
    with subjects(size) as (small, *large):
        for loras in LORAS:
            yield from compared(small, loras, ("inc_lora", "am_lora"), pairs)
        for subject in large:
            yield from compared(subject, LORAS[-1], ("am_lora",), max(1, pairs // 3))


def compared(subject: Subject, loras: int, names: tuple[str, ...], pairs: int) -> Iterator[Row]:
    """Compare each of our methods with N active LoRAs, and am_lora with X-LoRA."""
    products = count(subject.load())
    method, summed = ours(subject, "inc_lora", loras)
    active = active_loras(subject, loras, method)
    same(summed, active)
    mixed = ours(subject, "am_lora", loras)[1]
    mine = {"inc_lora": summed, "am_lora": mixed}
    meetings = [(name, mine[name], f"PEFT, {loras} active", active) for name in names]
    try:
        attended = attended_loras(subject, method)
        meetings.append(("am_lora", mixed, f"PEFT X-LoRA of {loras}", attended))
    except Exception as error:  # whatever another package fails with is the finding
        print(f"PEFT X-LoRA of {loras} does not run: {type(error).__name__}: {error}")
    for name, one, peer, other in meetings:
        for what, first, second in (
            (STEP, one.step, other.step),
            (FORWARD, one.logits, other.logits),
        ):
            timed = pair(first, second, pairs=pairs, warm=1)
            yield Row(
                name=f"{name} / {peer}, {what}",
                ratio=timed.ratio,
                floor=floor(products, loras, what, twice=other is not active),
                detail=f"{subject.label}, {BATCH} rows of {TEXT[0]} to {TEXT[1]} tokens:"
                f" {timed.first:.3f} s, {timed.second:.3f} s",
            )


def ours(subject: Subject, name: str, loras: int) -> tuple[LoRAMethod, Side]:
    """Return a method with so many LoRAs, and what is timed of it."""
    backbone = subject.load()
    lora = LoRASettings(rank=RANK, alpha=ALPHA, dropout=0.0)
    method: LoRAMethod = (
        AMLoRA(backbone, AMLoRASettings(lora=lora), seed=0)
        if name == "am_lora"
        else IncLoRA(backbone, OneLoRASettings(lora=lora), seed=0)
    )
    data = made_up(backbone, rows=BATCH, instruction=0, text=TEXT)
    for index in range(loras):
        stage = Stage(index, str(index), data, 1)
        method.begin(stage)
        method.before_step(stage, 0)
    torch.manual_seed(0)
    for layer in method.mixture.layers.values():
        layer.bank.b.normal_(std=0.02)  # B starts at 0, and the comparison would say nothing
    batch = collate(data, backbone, share=1.0)
    weights = [weight for group in method.parameters() for weight in group.parameters]

    def logits() -> Tensor:
        with inference(backbone):
            return target_logits(backbone, batch)

    def step() -> None:
        terms = [*method.loss(batch).values(), *method.penalty().values()]
        torch.stack([term.float() for term in terms]).sum().backward()
        for weight in weights:
            weight.grad = None

    backbone.model.train()
    return method, Side(logits, step)


def active_loras(subject: Subject, loras: int, method: LoRAMethod) -> Side:
    """Return `peft` with all LoRAs of a method active, the newest trained."""
    backbone = subject.load()
    weights = peft_loras(backbone, loras)
    copy_loras(method.mixture, backbone.model)
    data = made_up(backbone, rows=BATCH, instruction=0, text=TEXT)
    batch = collate(data, backbone, share=1.0)

    def logits() -> Tensor:
        with inference(backbone):
            return target_logits(backbone, batch)

    def step() -> None:
        task_loss(backbone, batch).backward()
        for weight in weights:
            weight.grad = None

    backbone.model.train()
    return Side(logits, step)


def attended_loras(subject: Subject, method: LoRAMethod) -> Side:
    """Return X-LoRA over a method's LoRAs, after one call of each kind."""
    backbone = subject.load()
    data = made_up(backbone, rows=BATCH, instruction=0, text=TEXT)
    batch: Batch = collate(data, backbone, share=1.0)
    attended = x_lora(backbone, method.mixture)
    weights = attended.weights()

    def logits() -> Tensor:
        with inference(backbone):
            return attended.logits(batch)

    def step() -> None:
        attended.loss(batch).backward()
        for weight in weights:
            weight.grad = None

    backbone.model.train()
    logits()
    step()
    return Side(logits, step)


def same(one: Side, other: Side) -> None:
    """Check that both sides compute the same logits, up to rounding."""
    first, second = one.logits().float(), other.logits().float()
    difference = float((first - second).norm() / second.norm())
    assert difference < CLOSE, f"not the same computation: {difference:.3f}"


def floor(products: Products, loras: int, what: str, *, twice: bool) -> float:
    """Return our operations over theirs, the head left out.

    Args:
        products: the model's.
        loras: N.
        what: STEP or FORWARD.
        twice: the other runs the model once more without LoRAs, and trains none of them.
    """
    rows = loras * RANK
    if what == FORWARD:
        mine = products.forward(1, 0, rows=rows)
        return mine / (mine + twice * products.forward(1, 0))
    mine = products.training(1, 0, rows=rows, trained=RANK)
    if not twice:
        return 1.0
    theirs = products.training(1, 0, rows=rows, trained=0) + products.forward(1, 0)
    return mine / theirs
