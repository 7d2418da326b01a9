"""What a benchmark returns: one ratio, the bar it must reach, and the floor it cannot pass."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the benchmark's table."""

    name: str
    ratio: float
    """Ours divided by the other's ("at most"), or the other's by ours ("at least")."""
    bar: float | None = None
    """What the ratio must reach; None where the row only informs."""
    direction: Literal["at most", "at least"] = "at most"
    floor: float | None = None
    """The ratio that counting operations or bytes allows; None where nothing can be counted."""
    detail: str = ""
    """Sizes, and what was compared with what."""

    @property
    def met(self) -> bool:
        """Whether the ratio reaches the bar."""
        if self.bar is None:
            return True
        return self.ratio <= self.bar if self.direction == "at most" else self.ratio >= self.bar

    def line(self, *, judged: bool = True) -> str:
        """Return the row as text; without a verdict where the figure means nothing."""
        bar = "" if self.bar is None else f"{self.direction} {self.bar:g}"
        floor = "" if self.floor is None else f"floor {self.floor:.2f}"
        verdict = "" if self.bar is None or not judged else "met" if self.met else "MISSED"
        figures = f"{self.ratio:7.2f}  {bar:<14} {floor:<11} {verdict:<7}"
        return f"{self.name:<60} {figures} {self.detail}"
