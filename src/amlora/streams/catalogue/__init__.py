"""The paper's 15 tasks and six orders (its tables 3, 4 and 5), from the TOML files beside this."""

import tomllib
from functools import cache
from pathlib import Path

import msgspec

HERE = Path(__file__).parent


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the paper's tasks."""

    name: str
    """As the orders name it."""
    category: str
    """Kind of task, as in the paper's table 5."""
    folder: str
    """Its place in the reference layout."""
    instruction: str
    """The prompt of table 5; empty where the text itself asks the question."""
    labels: tuple[str, ...]
    """The answers, in the reference's order."""
    show_options: bool = True
    """Whether the prompt lists the answers."""


@cache
def entries() -> dict[str, Entry]:
    """Return the 15 tasks by name."""
    tasks = tomllib.loads((HERE / "tasks.toml").read_text(encoding="utf-8"))["task"]
    return {entry.name: entry for entry in msgspec.convert(tasks, list[Entry])}


@cache
def orders() -> dict[str, tuple[str, ...]]:
    """Return the task names of each of the six orders."""
    text = (HERE / "orders.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["order"], dict[str, tuple[str, ...]])


def order_names() -> tuple[str, ...]:
    """Return "1" to "6"."""
    return tuple(orders())
