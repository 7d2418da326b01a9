"""How much a benchmark measures: all of it, few samples, or just enough to see that it runs."""

from typing import Literal

Size = Literal["full", "quick", "smoke"]
"""full: what is kept. quick: the same things with few samples. smoke: tiny things, once; figures of
a smoke run mean nothing and are neither judged nor kept."""
