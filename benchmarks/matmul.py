"""How fast this machine multiplies matrices: what utilisation is a share of."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

TOKENS = (512, 1024, 2048)
LASTING = 0.05
"""Seconds that the chosen product is repeated for in one sample."""


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product to measure against, repeated so that one call lasts."""

    run: Callable[[], None]
    operations: float
    """Floating-point operations of one call."""
    rate: float
    """Operations a second, when it was chosen."""
    shape: str


def fastest(dtype: torch.dtype, shapes: Iterable[tuple[int, int]]) -> Product:
    """Return the product at which the machine is fastest, of (T, D_in) x (D_in, D_out).

    Args:
        dtype: of the numbers.
        shapes: (D_in, D_out), of a model's layers.
    """
    tried = [
        product(dtype, tokens, d_in, d_out)
        for d_in, d_out in sorted(set(shapes))
        for tokens in TOKENS
    ]
    return max(tried, key=lambda product: product.rate)


def product(dtype: torch.dtype, tokens: int, d_in: int, d_out: int) -> Product:
    """Time one product a few times, and keep the best."""
    x, weight = torch.randn(tokens, d_in, dtype=dtype), torch.randn(d_out, d_in, dtype=dtype)
    seconds = min(timed(x, weight) for _ in range(6))
    repeats = max(1, round(LASTING / seconds))
    once = 2.0 * tokens * d_in * d_out

    def run() -> None:
        for _ in range(repeats):
            torch.nn.functional.linear(x, weight)

    shape = f"{tokens} x {d_in} x {d_out}"
    return Product(run, repeats * once, once / seconds, shape)


def timed(x: torch.Tensor, weight: torch.Tensor) -> float:
    """Return the seconds of one product."""
    start = time.perf_counter()
    torch.nn.functional.linear(x, weight)
    return time.perf_counter() - start
