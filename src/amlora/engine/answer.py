"""What is known of a row once it is scored, and how often which way of scoring was needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from amlora.engine.encode import Row
from amlora.engine.settings import EvaluateSettings
from amlora.evaluate.score import Rule, is_match

__all__ = ["Answer", "Counts", "EvaluateSettings"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One row's score."""

    task: str
    row: str
    hit: bool
    """Whether the model's greedy answer equals the gold answer by the rule of the evaluation."""
    how: Literal["pass", "decoded"]
    """Decided by the teacher-forced pass, or by generating the answer."""
    text: str | None
    """The generated answer, as far as it was needed; None when the pass was enough."""
    margin: float | None
    """Smallest gap between the two best logits that the pass relied on; None without a pass."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by how they were decided; the four add up to all rows."""

    hit: int = 0
    """Certain hits of the pass."""
    miss: int = 0
    """Certain misses of the pass."""
    undecided: int = 0
    """Generated, because the pass could not know the whole answer."""
    low_margin: int = 0
    """Generated, because two logits were too close for rounding to be trusted."""

    @property
    def rows(self) -> int:
        """All rows."""
        return self.hit + self.miss + self.undecided + self.low_margin

    @property
    def decoded(self) -> float:
        """Share of rows (0..1) that were generated; over 0.2 on trained rows something is wrong."""
        return (self.undecided + self.low_margin) / self.rows if self.rows else 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.hit + other.hit,
            self.miss + other.miss,
            self.undecided + other.undecided,
            self.low_margin + other.low_margin,
        )

    def kinds(self) -> dict[str, int]:
        """Return the four counts by name."""
        return {name: getattr(self, name) for name in ("hit", "miss", "undecided", "low_margin")}


def accuracy(answers: Sequence[Answer]) -> float:
    """Return the share of hits, 0..1.

    Raises:
        ValueError: there are no answers.
    """
    if not answers:
        raise ValueError("there are no answers to take the accuracy of")
    return sum(answer.hit for answer in answers) / len(answers)


def decoded_answer(row: Row, text: str, margin: float | None, rule: Rule) -> Answer:
    """Return the answer of a row that was generated."""
    return Answer(row.task, row.row, is_match(text, row.gold, rule), "decoded", text, margin)
