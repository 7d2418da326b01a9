"""A row's answer, and what one teacher-forced pass proves about it.

The pass feeds prompt and gold answer and reads the best token at every position. As long as the
best token is the gold one, generation would have gone the same way. At the first other token
generation leaves the gold path, and its answer so far is known to the letter.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Literal

from amlora.engine.encode import Row
from amlora.evaluate.score import Rule, is_match, normalise


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
        return sum(astuple(self))

    @property
    def decoded(self) -> float:
        """Share of rows (0..1) that were generated; over 0.2 on trained rows something is wrong."""
        return (self.undecided + self.low_margin) / max(self.rows, 1)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def decoded_answer(row: Row, text: str, rule: Rule) -> Answer:
    """Return the answer of a row that was generated."""
    return Answer(row.task, row.row, is_match(text, row.gold, rule), "decoded", text)


Outcome = Literal["hit", "miss", "undecided"]
REPLACEMENT = "\ufffd"  # what a decoder writes for bytes that are no whole character


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known, and on how many positions of the pass it rests."""

    outcome: Outcome
    positions: int


def judge(
    best: Sequence[int],
    answer_ids: Sequence[int],
    gold: str,
    *,
    end_ids: frozenset[int],
    max_new_tokens: int,
    decode: Callable[[Sequence[int]], str],
    rule: Rule = "reference",
) -> Verdict:
    """Decide a row from the best token at each position of its gold answer.

    Args:
        best: the best token at each position, given the gold tokens before it.
        answer_ids: the gold tokens, an end token last; as long as `best`.
        gold: the gold answer as text.
        end_ids: tokens that stop generation.
        max_new_tokens: where generation stops in any case.
        decode: text of generated ids, special tokens left out.
        rule: says which answers match.
    """
    last = len(answer_ids) - 1
    leaves = (i for i in range(last) if best[i] != answer_ids[i] or best[i] in end_ids)
    at = next(leaves, last)
    if at >= max_new_tokens:
        return Verdict("undecided", max_new_tokens)
    path = answer_ids[:at]
    if best[at] in end_ids:
        return Verdict("hit" if is_match(decode(path), gold, rule) else "miss", at + 1)
    certain = leaves_gold(decode([*path, best[at]]), gold, rule)
    return Verdict("miss" if certain else "undecided", at + 1)


def leaves_gold(text: str, gold: str, rule: Rule = "reference") -> bool:
    """Whether no answer that starts with `text` can match, whatever follows.

    Bytes of an unfinished character prove nothing. By the exact rule only white space around an
    answer may differ. The reference's rule works letter by letter (white space aside), so a
    normalised start stays a start: if it is none of the normalised gold, the answer is a miss. Only
    letters whose lower case depends on their neighbours, which no ASCII letter's does, could still
    change what has been read, so they prove nothing.
    """
    if REPLACEMENT in text:
        return False
    if rule == "exact":
        said, wanted = text.lstrip(), gold.strip()
        return not wanted.startswith(said) and said.rstrip() != wanted
    settled = all(c.isascii() or c.lower() == c == c.upper() for c in text)
    return settled and not squeeze(gold).startswith(squeeze(text))


def squeeze(text: str) -> str:
    """Return a text normalised and without white space."""
    return normalise(text).replace(" ", "")
