"""The paper's 15 tasks and six orders (its tables 3, 4 and 5), from the TOML files beside this."""

from functools import cache
from pathlib import Path

from pydantic import Field

from amlora.errors import InputError, nearest
from amlora.formats import parse_toml
from amlora.settings import Many, Settings

HERE = Path(__file__).parent
PAPER_TRAIN = 1000
"""Training rows a task, as the paper's section 4.1 states."""
PAPER_VALIDATION = 500
"""Validation rows of each label, as the same section states."""


class Hub(Settings):
    """Where a task's rows are on the Hugging Face hub, and how they become the reference's."""

    id: str
    config: str = ""
    revision: str = ""
    """The commit that is read; empty where none is known."""
    verified: bool = True
    """Whether columns, labels and commit were found in the data set's own card, or in records of
    it; false: in other people's code only."""
    train: str = "train"
    """The split that train rows are drawn from; dev rows are set aside from them."""
    test: str
    """The split that test rows are drawn from: validation, where test labels are hidden."""
    label: str
    """Column of the label."""
    forms: Many[str]
    """The text, put together from columns as the reference has it; see `TaskSettings.forms`."""
    answers: dict[str, str] = Field(default_factory=dict)
    """The answer for each of the hub's labels; empty where they are equal."""


class SplitSize(Settings):
    """How many rows a split of the reference benchmark has."""

    count: int
    labels: dict[str, int] = Field(default_factory=dict)
    """Rows of each label, as far as known."""


class Splits(Settings):
    """The reference benchmark's splits. Its dev.json is its test.json, so it is not listed."""

    train: SplitSize
    test: SplitSize


class Entry(Settings):
    """One of the paper's tasks."""

    name: str
    """As the orders name it."""
    category: str
    """Kind of task, as in the paper's table 5."""
    folder: str
    """Its place in the reference layout."""
    instruction: str
    """The prompt of table 5; empty where the text itself asks the question."""
    labels: Many[str]
    """The answers, in the reference's order."""
    show_options: bool = True
    """Whether the prompt lists the answers."""
    benchmark: str
    """The collection that table 3 counts it to."""
    metric: str
    """What table 3 scores it by."""
    licence: str
    """Of the data, as its card states; "unknown" where it states none."""
    hub: Hub
    rows: Splits
    """Of the reference benchmark."""


class Order(Settings):
    """One of the paper's orders."""

    tasks: Many[str]
    """As learned (table 4)."""
    sparsity: Many[float]
    """AM-LoRA's lambda for each task (section 7.3), as many as there are tasks."""


@cache
def entries() -> dict[str, Entry]:
    """Return the 15 tasks by name, sorted."""
    paths = sorted((HERE / "tasks").glob("*.toml"))
    return {path.stem: Entry.of(parse_toml(path, path.read_bytes()), path.stem) for path in paths}


@cache
def details() -> dict[str, Order]:
    """Return the six orders by name."""
    path = HERE / "orders.toml"
    table = parse_toml(path, path.read_bytes())["order"]
    return {name: Order.of(order, "order", name) for name, order in table.items()}


def orders() -> dict[str, tuple[str, ...]]:
    """Return the task names of each of the six orders."""
    return {name: order.tasks for name, order in details().items()}


def tasks_of(order: str) -> tuple[str, ...]:
    """Return the tasks of an order: one of the six, or tasks by name, as in "amazon, yelp".

    An InputError if it is neither of the two, or has a task twice.
    """
    if order in details():
        return details()[order].tasks
    names = tuple(name.strip() for name in order.split(","))
    unknown = [name for name in names if name not in entries()]
    if unknown and len(names) == 1:
        six = ", ".join(map(repr, details()))
        raise InputError(
            f"order: {order!r} is not one of {six}, and no task of the paper"
            f"{nearest(order, entries()) or '.'}"
        )
    if unknown:
        close = nearest(unknown[0], entries()) or f"; tasks: {', '.join(entries())}."
        raise InputError(f"order: {unknown[0]!r} is no task of the paper{close}")
    if len(set(names)) < len(names):
        raise InputError(f"order: {order!r} has a task twice; each stands once.")
    return names
