"""One kind of error for a caller's mistake, and the nearest allowed name to suggest."""

import difflib
from collections.abc import Iterable

LONGEST = 2000  # characters of an error


class InputError(ValueError):
    """A caller's mistake. Its text is one line: what, where, the value, and what is allowed."""

    def __init__(self, text: str) -> None:
        super().__init__(shortened(text))  # a value may be megabytes long


def shortened(text: str) -> str:
    """Return a line of bearable length: of a long one the start and the end."""
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} ... {text[-half:]}"


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return "; did you mean 'rank'?" for the closest allowed name, or "" when none is close."""
    match = difflib.get_close_matches(name, list(allowed), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""
