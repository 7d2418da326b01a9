"""What a page needs beside the records: facts of methods, choices of rates, orders, protocols."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amlora.report.choices import Choice
from amlora.report.methods_table import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All of it may be left out; what rests on it then does not appear."""

    facts: Mapping[str, Facts] = field(default_factory=dict[str, Facts])
    """What methods need, by their names."""
    choices: Sequence[Choice] = ()
    """Of learning rates."""
    orders: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Tasks of the paper's orders, by their numbers."""
    protocols: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Settings by dotted key that decide a protocol, by its name."""
    against: str | None = None
    """The line that all others are compared with."""
