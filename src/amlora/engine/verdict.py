"""What one teacher-forced pass proves about the answer that greedy generation would give.

The pass feeds prompt and gold answer and reads the best token at every position. As long as the
best token is the gold one, generation would have gone the same way. At the first other token
generation leaves the gold path, and its answer so far is known to the letter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from amlora.evaluate.score import Rule, is_match, normalise

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
