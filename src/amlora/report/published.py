"""The published numbers of the paper's tables, each with its source: `published.toml`, checked."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from amlora.formats import parse_toml, typed

FILE = Path(__file__).with_name("published.toml")

Read = Literal["primary", "secondary"]


class PublishedRow(BaseModel, frozen=True, extra="forbid"):
    """What one source says of one method, per cent."""

    method: str
    """Its name here."""
    variant: str = ""
    """How it differs from the method of the table; empty where it does not."""
    values: dict[str, float]
    """By order ("1") or orders averaged over ("1-3"), as printed."""
    forgetting: dict[str, float] = Field(default_factory=dict)
    """By order."""
    learning_accuracy: dict[str, float] = Field(default_factory=dict)
    """By order."""


class Source(BaseModel, frozen=True, extra="forbid"):
    """Where numbers come from."""

    label: str
    cite: str
    """Paper, table, or repository and commit."""
    read: Read
    """Whether the figures were read in the source itself."""
    setting: str
    """What tells its protocol from the others'."""
    rows: tuple[PublishedRow, ...]


class MethodLabel(BaseModel, frozen=True, extra="forbid"):
    """A method of the table: its name here and in print."""

    name: str
    label: str


class Published(BaseModel, frozen=True, extra="forbid"):
    """One table of the paper and its reruns."""

    title: str
    model: str
    """The base model of every number of its sources."""
    names: tuple[str, ...]
    """The last part of that model's name on the hub or disk, lower case."""
    parameters: int
    """That model's number, so that a folder of the same name is not taken for it."""
    groups: tuple[tuple[str, ...], ...]
    """Orders that are averaged over together."""
    methods: tuple[MethodLabel, ...]
    remarks: tuple[str, ...]
    """What a reader must know of these numbers."""
    sources: tuple[Source, ...]

    def is_of(self, name: str, parameters: int | None) -> bool:
        """Tell whether a run's base model is the table's."""
        last = name.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
        return last in self.names and parameters == self.parameters


def span(group: tuple[str, ...]) -> str:
    """Return how a group of orders is named: "1-3"."""
    return f"{group[0]}-{group[-1]}"


@cache
def published() -> dict[str, Published]:
    """Return the paper's tables by number."""
    raw = parse_toml(FILE, FILE.read_bytes())
    return typed(FILE, raw["table"], dict[str, Published])
