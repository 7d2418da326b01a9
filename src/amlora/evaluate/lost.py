"""What tokenising loses of texts by nobody's wish: counts, and the lines that say so."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]


class Lost(BaseModel):
    """Counts over the rows of one split."""

    model_config = ConfigDict(frozen=True, strict=True, use_attribute_docstrings=True)

    shortened: Count = 0
    """Prompts whose text was cut to `model.max_tokens`."""
    characters: Count = 0
    """That were cut off one of them at most."""
    unknown: Count = 0
    """Prompts with characters for which the tokenizer has no token."""
    unwritable: Count = 0
    """Free-text answers with such characters, or that do not read back as they are."""


def together(parts: Sequence[Lost]) -> Lost:
    """Return the counts over the rows of several parts."""
    return Lost(
        shortened=sum(part.shortened for part in parts),
        characters=max((part.characters for part in parts), default=0),
        unknown=sum(part.unknown for part in parts),
        unwritable=sum(part.unwritable for part in parts),
    )


def lost_lines(name: str, splits: Mapping[str, tuple[Lost, int]], longest: int) -> list[str]:
    """Say what is lost of some texts, a line for each kind that there is.

    Args:
        name: of their task.
        splits: counts and the number of rows, by the split's name.
        longest: `model.max_tokens`.
    """

    def of(field: str, what: str) -> str:
        counts = {split: (getattr(lost, field), rows) for split, (lost, rows) in splits.items()}
        return " and ".join(
            f"{count} of {rows} {split} {what}" for split, (count, rows) in counts.items() if count
        )

    most = max((lost.characters for lost, _ in splits.values()), default=0)
    said = [
        (
            of("shortened", "texts"),
            f"are longer than model.max_tokens = {longest} allows and were shortened, by {most}"
            " characters at most",
        ),
        (of("unknown", "prompts"), "have characters that the tokenizer does not know"),
        (of("unwritable", "answers"), "have characters that the tokenizer cannot write"),
    ]
    return [f"{name}: {which} {how}." for which, how in said if which]
