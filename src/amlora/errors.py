"""One kind of error for a caller's mistake, and the nearest allowed name to suggest."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A caller's mistake. Its text is one line: what, where, the value, and what is allowed."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return "; did you mean 'rank'?" for the closest allowed name, or "" when none is close."""
    match = difflib.get_close_matches(name, list(allowed), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""
