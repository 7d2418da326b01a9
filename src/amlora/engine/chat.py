"""Find the last question of a chat, so that it is read as it would be without the chat."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

FIRST, BETWEEN, LAST = "QQ1QQ", "QQ2QQ", "QQ3QQ"
"""Stand for what is said in a chat that is only made to look at its template."""

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Turn:
    """The tokens around what a user says."""

    opens: Ids
    closes: Ids
    starts: Ids
    """What stands before any text, as a start token."""
    ends: Ids
    """What stands after any text."""

    def last(self, ids: Sequence[int]) -> Sequence[int]:
        """Return what the user says last; all of a prompt that is no chat, or says nothing."""
        begin = find(ids, self.opens, last=True)
        if begin is None:
            return ids
        said = tuple(ids[begin + len(self.opens) :])
        end = find(said, self.closes, last=False)
        own = said if end is None else said[:end]
        return (*self.starts, *own, *self.ends) if own else ids


def turn_of(tokenizer: PreTrainedTokenizerBase) -> Turn | None:
    """Return what a model's chat template puts around a user's words; None where it has none.

    What opens them is what stands both before a first and before a later question.
    """
    if not tokenizer.chat_template:
        return None
    first = [{"role": "user", "content": LAST}]
    later = [
        {"role": "user", "content": FIRST},
        {"role": "assistant", "content": BETWEEN},
        {"role": "user", "content": LAST},
    ]
    try:
        (before, after), (again, behind) = (
            str(tokenizer.apply_chat_template(chat, tokenize=False)).split(LAST)
            for chat in (first, later)
        )
    except Exception:  # other people's templates raise what they like
        return None
    opens = shared(before[::-1], again[::-1])[::-1]
    closes = shared(after, behind)
    if not opens or not closes:
        return None
    ids = [tuple(tokenizer.encode(text, add_special_tokens=False)) for text in (opens, closes)]
    bare, whole = (tuple(tokenizer.encode(LAST, add_special_tokens=add)) for add in (False, True))
    begin = find(whole, bare, last=False)
    if begin is None:
        return None
    return Turn(*ids, starts=whole[:begin], ends=whole[begin + len(bare) :])


def shared(one: str, other: str) -> str:
    """Return what two texts both begin with."""
    pairs = zip(one, other, strict=False)
    length = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    return one[:length]


def find(ids: Sequence[int], part: Ids, *, last: bool) -> int | None:
    """Return where tokens stand among others, the first or last time; None if they do not."""
    places = range(len(ids) - len(part) + 1)
    for place in reversed(places) if last else places:
        if tuple(ids[place : place + len(part)]) == part:
            return place
    return None
