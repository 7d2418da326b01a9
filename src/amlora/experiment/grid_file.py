"""Read a grid file: methods x orders x seeds over one base.

A file names a `base` (a settings file beside it) or holds the tables [model], [stream], [train] and
[evaluate] itself, or both: its own tables then go over the base's. Every [[methods]] entry is a
line of the comparison. [select] lists learning rates among which each line's is chosen.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from amlora.engine.settings import TrainSettings
from amlora.errors import InputError, nearest
from amlora.experiment.grid import Grid, Group, Slot
from amlora.experiment.settings import NAME
from amlora.experiment.toml import anchor, read_anchored, read_toml
from amlora.settings import Many, Settings, shown
from amlora.streams.settings import QUICKSTART, StreamSettings

TABLES = ("model", "stream", "train", "evaluate")
LONGEST = 60  # letters of a label: "select-" and a run's hash and seed come on top


class MethodEntry(Settings):
    """One line of the comparison: a method with its own settings."""

    name: str
    """The method."""
    label: str = ""
    """Names the line and its runs, and is unique; empty for the method's name."""
    method: dict[str, Any] = Field(default_factory=dict)
    """Settings of [method] that differ from the method's defaults."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Settings of [train] that differ from the base's."""

    def check(self) -> None:
        """Refuse two names."""
        if "name" in self.method:
            raise ValueError("method.name has no place beside name.")

    @property
    def title(self) -> str:
        """The label."""
        return self.label or self.name


class Select(Settings):
    """Learning rates to choose from, on the dev rows of the first task."""

    rates: dict[str, Many[float]]
    """Values of `train.lr` by label; a single one is taken as it is."""
    order: str | Many[str] = ""
    """The order whose first task chooses for all orders; empty: each order chooses for itself."""


class GridSettings(Settings):
    """A grid file."""

    name: str
    """Names the grid's folder; the file's name where it is not given."""
    base: str = ""
    """A settings file, relative to the grid file; its [method] may hold no more than a name."""
    model: dict[str, Any] = Field(default_factory=dict)
    stream: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)
    evaluate: dict[str, Any] = Field(default_factory=dict)
    seeds: Many[int] = ()
    """Each cell is run with each of them; empty for the base's."""
    orders: Many[str | Many[str]] = ()
    """Orders of the paper by number, or lists of names of the base's own tasks; empty for the
    base's stream as it is."""
    methods: Many[MethodEntry]
    """The lines."""
    select: Select | None = None
    """None: every line has the rate of its settings."""

    def check(self) -> None:
        """Check what can be checked without the base."""
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name {shown(self.name)} cannot name a folder.")
        if not self.methods:
            raise ValueError("methods must not be empty.")
        labels = [entry.title for entry in self.methods]
        for what, values in (("label", labels), ("seed", self.seeds), ("order", self.orders)):
            if twice := [value for value, count in Counter(values).items() if count > 1]:
                raise ValueError(f"{what} {shown(twice[0])} is there twice; each stands once.")
        for label in labels:
            if not NAME.fullmatch(label) or len(label) > LONGEST:
                raise ValueError(
                    f"label {shown(label)} cannot name a folder; use letters, digits, '.', '-' and"
                    f" '_', at most {LONGEST}."
                )
        self.check_rates(labels)

    def check_rates(self, labels: list[str]) -> None:
        """Refuse rates of no line, rates that are none, and lines with two kinds of rate."""
        rates = self.select.rates if self.select else {}
        for label, values in rates.items():
            if label not in labels:
                close = nearest(label, labels) or f"; labels: {', '.join(labels)}."
                raise ValueError(f"select.rates has {shown(label)}, which is no label{close}")
            if not values or len(set(values)) < len(values) or min(values) <= 0:
                raise ValueError(f"select.rates.{label} must be different numbers above 0.")
        for entry in self.methods:
            for table, settings in (("train", entry.train), ("method", entry.method)):
                if entry.title in rates and "lr" in settings:
                    raise ValueError(
                        f"methods: {entry.title} has {table}.lr and select.rates; give one of them."
                    )


def load_grid(path: Path) -> Grid:
    """Read a grid file and check every cell's settings.

    Raises:
        InputError: no TOML file, or a wrong setting, in one line.
    """
    raw = read_toml(path, follow=True)
    raw.setdefault("name", path.stem)
    if "method" in raw:
        raise InputError("grid.method: a grid has one [[methods]] entry for each method.")
    given = raw.get("base")
    base = read_base(path, given if isinstance(given, str) else "", rooted=is_rooted(raw))
    anchor(raw, path.parent, rooted=is_rooted(base))
    settings = GridSettings.of(raw, "grid")
    for table in TABLES:
        base[table] = merged(base.get(table, {}), getattr(settings, table))
    seeds = settings.seeds or (base.pop("seed", 0),)
    base.pop("seed", None)
    groups = tuple(
        make_group(settings, entry, order, base, seeds[0])
        for order in settings.orders or ("",)
        for entry in settings.methods
    )
    for group in groups:
        for seed in seeds:
            group.cell(seed, group.rates[0])
        group.choosing.candidates()
    slots = tuple(Slot(group=group, seed=seed) for seed in seeds for group in groups)
    return Grid(name=settings.name, groups=groups, slots=slots)


def read_base(path: Path, base: str, *, rooted: bool) -> dict[str, Any]:
    """Return the base's tables and seed; {} where there is none."""
    if not base:
        return {}
    raw = read_anchored(path.parent / base, rooted=rooted)
    for table in TABLES:
        if not isinstance(raw.get(table, {}), Mapping):
            raise InputError(f"{path.parent / base}: {table}: expected a table.")
    raw.pop("name", None)
    method = raw.pop("method", {})
    if isinstance(method, Mapping) and (more := [key for key in method if key != "name"]):
        raise InputError(
            f"{path.parent / base}: method.{more[0]}: a grid's base holds no settings of a method;"
            " they stand in the [[methods]] entries."
        )
    return raw


def is_rooted(raw: Mapping[str, Any]) -> bool:
    """Tell whether a file gives a `data_root`."""
    stream = raw.get("stream")
    return isinstance(stream, Mapping) and bool(stream.get("data_root"))


def merged(under: Any, over: Any) -> Any:
    """Return a table with another one's values over its own, table by table."""
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return over
    return {**under, **{key: merged(under.get(key, {}), value) for key, value in over.items()}}


def make_group(
    grid: GridSettings,
    entry: MethodEntry,
    order: str | tuple[str, ...],
    base: Mapping[str, Any],
    seed: int,
) -> Group:
    """Put the base, an order and a line together."""
    plain = {
        **base,
        "stream": in_order(base["stream"], order),
        "train": merged(base["train"], entry.train),
        "method": {**entry.method, "name": entry.name},
    }
    title = order if isinstance(order, str) else "-".join(order)
    chosen = grid.select.rates.get(entry.title) if grid.select else None
    rates = chosen or (plain["train"].get("lr", TrainSettings().lr),)
    of_all = grid.select.order if grid.select else ""
    chooser = None
    if of_all and of_all != order:
        chooser = make_group(grid, entry, of_all, base, seed)
    return Group(
        label=entry.title, order=title, rates=rates, plain=plain, seed=seed, chooser=chooser
    )


def in_order(stream: Mapping[str, Any], order: str | tuple[str, ...]) -> Mapping[str, Any]:
    """Return a stream's settings in one of the paper's orders, or with own tasks reordered."""
    if not order:
        return stream
    if stream.get("name") == QUICKSTART:
        raise InputError("grid.orders: the quickstart stream has one order, its own.")
    if isinstance(order, str):
        # Named after the order, unless the base says otherwise, it would keep another one's name.
        return {key: value for key, value in stream.items() if key != "name"} | {"order": order}
    StreamSettings.of(stream, "stream")  # then tasks are tables with names
    tasks = {task["name"]: task for task in stream.get("tasks", [])}
    for name in order:
        if name not in tasks:
            close = nearest(name, tasks) or f"; there are: {', '.join(tasks) or 'none'}."
            raise InputError(f"grid.orders: no task {name!r} in stream.tasks{close}")
    if len(set(order)) < len(order):
        raise InputError(f"grid.orders: {', '.join(order)} has a task twice.")
    return {**stream, "tasks": [tasks[name] for name in order]}
