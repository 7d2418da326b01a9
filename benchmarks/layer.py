"""One adapted layer: against one plain LoRA with as many rows, and against the textbook form."""

from collections.abc import Iterator
from functools import partial

import torch
from memory import kept_bytes
from row import Row
from size import Size
from timing import pair
from torch import Tensor, nn

from amlora.mixture import fused, reference
from amlora.mixture.fused import LoRAs
from amlora.mixture.layer import Control, MixtureLinear

RANK = 8
SCALE = 4.0
KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16}


class OneLoRA(nn.Module):
    """h = base(x) + scale * B A x: a plain LoRA, all of its rows trained."""

    def __init__(self, width: int, rows: int) -> None:
        super().__init__()
        self.base = nn.Linear(width, width, bias=False).requires_grad_(False)
        self.a = nn.Linear(width, rows, bias=False)
        self.b = nn.Linear(rows, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + SCALE * self.b(self.a(x))


def mixture(width: int, loras: int) -> MixtureLinear:
    """Return an adapted layer as it is while its newest LoRA and all selectors are trained."""
    base = nn.Linear(width, width, bias=False).requires_grad_(False)
    layer = MixtureLinear("layer", base, width, width, Control())
    rows = torch.randn(loras, 2, RANK, width) / width**0.5
    a, b = rows.transpose(0, 1).reshape(2, loras * RANK, width)
    selectors = torch.randn(loras, width) / width**0.5
    layer.bank.set([RANK] * loras, [SCALE * RANK] * loras, (a, b, selectors))
    layer.bank.train_newest("all")
    return layer


def tensors_of(module: nn.Module) -> list[Tensor]:
    """Return what exists whether or not a backward pass follows."""
    return [*module.parameters(), *module.buffers()]


def step(run: nn.Module, x: Tensor, d_out: Tensor) -> None:
    """Run one forward and one backward pass."""
    run(x).backward(d_out)
    x.grad = None
    run.zero_grad()


def operations(width: int, loras: int, trained: int) -> float:
    """Return multiply-adds a token of a training step, frozen layer included.

    The frozen layer: its output and its input's gradient. The LoRA rows: A x, B z and the two
    gradients that pass through them, and for trained rows those of A and B.
    """
    return 2 * width**2 + (4 * loras * RANK + 2 * trained) * width


def floor(width: int, loras: int) -> float:
    """Return our operations over one LoRA's: ours trains the newest rows alone."""
    rows = loras * RANK
    return operations(width, loras, RANK) / operations(width, loras, rows)


def against_one_lora(width: int, loras: int, tokens: int, kind: str, pairs: int) -> Iterator[Row]:
    """Compare time and memory of the adapted layer with one LoRA of rank N * R."""
    torch.manual_seed(0)
    dtype = KINDS[kind]
    ours, plain = mixture(width, loras).to(dtype), OneLoRA(width, loras * RANK).to(dtype)
    x = torch.randn(tokens, width, dtype=dtype, requires_grad=True)
    d_out = torch.randn(tokens, width, dtype=dtype)
    timed = pair(lambda: step(ours, x, d_out), lambda: step(plain, x, d_out), pairs=pairs)
    yield Row(
        name=f"layer / one LoRA of the same rows, time, {kind}",
        ratio=timed.ratio,
        bar=1.15,
        floor=floor(width, loras),
        detail=f"N={loras} D={width} T={tokens}: {timed.first:.4f} s, {timed.second:.4f} s",
    )
    kept = [kept_bytes(partial(run, x), tensors_of(run)) for run in (ours, plain)]
    yield Row(
        name=f"layer / one LoRA of the same rows, memory, {kind}",
        ratio=kept[0] / kept[1],
        bar=1.2,
        floor=1.0,
        detail=f"N={loras} D={width} T={tokens}: {kept[0] / 2**20:.1f}, {kept[1] / 2**20:.1f} MiB",
    )


def all_rows_trained(width: int, loras: int, tokens: int, pairs: int) -> Row:
    """Compare with one LoRA when all of our rows are trained too, which no method here does."""
    torch.manual_seed(0)
    layer, plain = mixture(width, loras), OneLoRA(width, loras * RANK)
    x = torch.randn(tokens, width, requires_grad=True)
    d_out = torch.randn(tokens, width)
    bank = layer.bank
    a, b, w = (nn.Parameter(stack) for stack in bank.stacks())
    stacks = a, b, w

    class Whole(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            base = layer.base(x)
            everything = LoRAs(stacks, bank.spread, stacks, RANK)
            return fused.add(base, x, everything, combine="attention")[0]

    whole = Whole()
    timed = pair(lambda: step(whole, x, d_out), lambda: step(plain, x, d_out), pairs=pairs)
    return Row(
        name="the same with all of our rows trained, fp32",
        ratio=timed.ratio,
        bar=1.15,
        floor=1.0,
        detail=f"N={loras} D={width} T={tokens}: {timed.first:.4f} s, {timed.second:.4f} s",
    )


def textbook(x: Tensor, a: Tensor, b: Tensor, w: Tensor) -> Tensor:
    """Return the mixture as the paper writes it, every LoRA's output in full: equal ranks.

    `reference.mix` allows ranks that differ, which costs it more than this.
    """
    z = (x @ a.T).view(len(x), len(w), RANK)
    features = SCALE * torch.einsum("tnr,nro->tno", z, b.view(len(w), RANK, -1))
    logits = torch.einsum("tno,no->tn", features, w)
    scores = nn.functional.pad(logits, (1, 0)).softmax(-1)[:, 1:]
    return torch.einsum("tn,tno->to", scores, features)


def against_textbook(width: int, loras: int, tokens: int, pairs: int) -> Iterator[Row]:
    """Compare the mixture alone, everything trained on both sides."""
    torch.manual_seed(0)
    layer = mixture(width, loras)
    spread = layer.bank.spread
    a, b, w = (nn.Parameter(stack.clone()) for stack in layer.bank.stacks())
    x = torch.randn(tokens, width, requires_grad=True)
    d_out = torch.randn(tokens, width)

    def ours() -> Tensor:
        return fused.mix(x, a, b, w, spread, rank=RANK)[0]

    def theirs() -> Tensor:
        return textbook(x, a, b, w)

    few = x[:16]
    torch.testing.assert_close(textbook(few, a, b, w), reference.mix(few, a, b, w, spread)[0])
    torch.testing.assert_close(ours(), theirs(), rtol=1e-4, atol=1e-4)
    timed = pair(lambda: theirs().backward(d_out), lambda: ours().backward(d_out), pairs=pairs)
    detail = f"N={loras} D={width} T={tokens}"
    yield Row(
        name="textbook form / mixture, time, fp32",
        ratio=timed.ratio,
        bar=5.0,
        direction="at least",
        detail=f"{detail}: {timed.first:.4f} s, {timed.second:.4f} s",
    )
    weights = a, b, w, spread
    kept = kept_bytes(theirs, weights), kept_bytes(ours, weights)
    yield Row(
        name="textbook form / mixture, memory, fp32",
        ratio=kept[0] / kept[1],
        bar=8.0,
        direction="at least",
        detail=f"{detail}: {kept[0] / 2**20:.1f}, {kept[1] / 2**20:.1f} MiB",
    )


def rows(size: Size) -> Iterator[Row]:
    """Give the rows of this benchmark, one by one as they are measured."""
    width, tokens = (64, 32) if size == "smoke" else (1024, 1024)
    pairs = {"full": 21, "quick": 7, "smoke": 1}[size]
    for kind in KINDS:
        yield from against_one_lora(width, 15, tokens, kind, pairs)
    yield all_rows_trained(width, 15, tokens, pairs)
    yield from against_textbook(width, 15, 2 * tokens, {"full": 9, "quick": 3, "smoke": 1}[size])
