"""What an adapted layer costs as tasks are added, as multiples of the frozen layer alone.

Three forms: ours, one plain LoRA with as many rows, which is the floor that no form passes, and the
textbook form. `plot.py` draws these rows.
"""

from collections.abc import Iterator

import torch
from layer import RANK, OneLoRA, mixture, operations, step, textbook
from row import Row
from size import Size
from timing import pair
from torch import Tensor, nn

from amlora.mixture.layer import MixtureLinear

LORAS = (1, 4, 15, 64, 100, 256)
TEXTBOOK = 64
"""LoRAs up to which the textbook form is run: its features are tokens x LoRAs x width."""
WIDTH, TOKENS = 576, 1024


class Textbook(nn.Module):
    """The same layer with every LoRA's output in full; newest rows and selectors are trained."""

    def __init__(self, layer: MixtureLinear) -> None:
        super().__init__()
        self.base = layer.base
        a, b, w = (stack.clone() for stack in layer.bank.stacks())
        frozen = len(a) - RANK
        self.frozen = a[:frozen], b[:frozen]
        self.a, self.b = nn.Parameter(a[frozen:]), nn.Parameter(b[frozen:])
        self.w = nn.Parameter(w)

    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.cat([self.frozen[0], self.a]), torch.cat([self.frozen[1], self.b])
        return self.base(x) + textbook(x, a, b, self.w)


def of_loras(loras: int, width: int, tokens: int, pairs: int) -> Iterator[Row]:
    """Compare each form with the frozen layer alone, and ours with the floor."""
    torch.manual_seed(0)
    layer, plain = mixture(width, loras), OneLoRA(width, loras * RANK)
    x = torch.randn(tokens, width, requires_grad=True)
    d_out = torch.randn(tokens, width)
    frozen = operations(width, 0, 0)
    floors = {
        "layer": operations(width, loras, RANK) / frozen,
        "one LoRA of as many rows": operations(width, loras, loras * RANK) / frozen,
    }
    forms: dict[str, nn.Module] = {"layer": layer, "one LoRA of as many rows": plain}
    if loras <= TEXTBOOK:
        forms["textbook form"] = Textbook(layer)
        few = x[:16]
        torch.testing.assert_close(layer(few), forms["textbook form"](few), rtol=1e-4, atol=1e-4)
    sizes = f"D={width} T={tokens}"

    def once(form: nn.Module) -> None:
        step(form, x, d_out)

    for name, form in forms.items():
        timed = pair(lambda form=form: once(form), lambda: once(layer.base), pairs=pairs)
        yield Row(
            name=f"{name} / frozen linear, time, fp32, N={loras}",
            ratio=timed.ratio,
            floor=floors.get(name),
            detail=f"{sizes}: {timed.first:.4f} s, {timed.second:.4f} s",
        )
    timed = pair(lambda: once(layer), lambda: once(plain), pairs=pairs)
    yield Row(
        name=f"layer / one LoRA of as many rows, time, fp32, N={loras}",
        ratio=timed.ratio,
        floor=operations(width, loras, RANK) / operations(width, loras, loras * RANK),
        detail=f"{sizes}: {timed.first:.4f} s, {timed.second:.4f} s",
    )


def rows(size: Size) -> Iterator[Row]:
    """Give the rows of this benchmark, one by one as they are measured."""
    width, tokens = (64, 32) if size == "smoke" else (WIDTH, TOKENS)
    loras = LORAS if size == "full" else (1, 15, 100)
    for count in loras:
        yield from of_loras(count, width, tokens, {"full": 9, "quick": 3, "smoke": 1}[size])
