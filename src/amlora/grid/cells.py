"""A grid file and its cells: lines (methods with their settings) x orders x seeds over one base.

A file names a `base` (a settings file beside it) or holds the tables [model], [stream], [train] and
[evaluate] itself, or both: its own tables then go over the base's. Every [[methods]] entry is a
line of the comparison. [select] lists learning rates among which each line's is chosen.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from amlora.engine.settings import TrainSettings
from amlora.errors import InputError, nearest
from amlora.experiment.naming import run_name
from amlora.experiment.settings import NAME, RunSettings, settings_from
from amlora.experiment.toml import anchor, read_anchored, read_toml
from amlora.methods import method_class
from amlora.settings import Many, Settings, shown
from amlora.streams.settings import QUICKSTART, StreamSettings

TABLES = ("model", "stream", "train", "evaluate")
Table = Annotated[dict[str, Any], Field(default_factory=dict)]
LONGEST = 60  # letters of a label: "select-" and a run's hash and seed come on top


class Entry(Settings):
    """One line of the comparison: a method with its own settings."""

    name: str
    """The method."""
    label: str = ""
    """Names the line and its runs, and is unique; empty for the method's name."""
    method: Table
    """Settings of [method] that differ from the method's defaults."""
    train: Table
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
    model: Table
    stream: Table
    train: Table
    evaluate: Table
    seeds: Many[int] = ()
    """Each cell is run with each of them; empty for the base's."""
    orders: Many[str | Many[str]] = ()
    """Orders of the paper by number, or lists of names of the base's own tasks; empty for the
    base's stream as it is."""
    methods: Many[Entry]
    """The lines."""
    select: Select | None = None
    """None: every line has the rate of its settings."""

    def check(self) -> None:
        """Check what can be checked without the base: names, and rates that belong to a line."""
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


@dataclass(frozen=True, kw_only=True)
class Line:
    """A method with its settings in one order: its cells share a rate and differ in their seed."""

    label: str
    order: str
    """"" where the grid names no orders."""
    rates: tuple[float, ...]
    """To choose from; one where nothing is to be chosen."""
    plain: Mapping[str, Any]
    """Settings without name, seed and rate."""
    seed: int
    """Of the runs that choose the rate: the grid's first. Their choice holds for all seeds."""
    chooser: "Line | None" = None
    """The line in the order that chooses for all orders; None where each chooses for itself."""

    @property
    def choosing(self) -> "Line":
        """The line whose candidates choose this one's rate."""
        return self.chooser or self

    @property
    def key(self) -> tuple[str, str]:
        """Label and order, which no two lines of a grid share."""
        return self.label, self.order

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.label}, order {self.order}" if self.order else self.label

    @cached_property
    def candidates(self) -> "tuple[Cell, ...]":
        """The runs that choose the rate: the first task alone, scored on its dev rows."""
        if len(self.rates) == 1:
            return ()
        return tuple(
            Cell(line=self, seed=self.seed, rate=rate, selects=True) for rate in self.rates
        )


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a grid."""

    line: Line
    seed: int
    rate: float | None
    """None while it is to be chosen."""
    selects: bool = False
    """Whether it only helps to choose a rate."""

    def at(self, rate: float) -> "Cell":
        """Return the cell with its rate."""
        return replace(self, rate=rate)

    @property
    def title(self) -> str:
        """What a person calls it."""
        if not self.selects:
            return f"{self.line.title}, seed {self.seed}"
        where = f", order {self.line.order}" if self.line.order else ""
        return f"select {self.line.label} at {self.rate:g}{where}, seed {self.seed}"

    @cached_property
    def settings(self) -> RunSettings:
        """The run's settings; the rate is known.

        Raises:
            InputError: a wrong setting, behind the line that it stands in.
        """
        name, plain = self.line.label, dict(self.line.plain)
        if self.selects:
            name = f"select-{name}"
            plain["stream"] = {**plain["stream"], "first_tasks": 1}
            # Texts of no task are not measured, as nothing is chosen by them.
            plain["evaluate"] = {**plain["evaluate"], "split": "dev", "general": ""}
            lists = method_class(plain["method"]["name"]).per_task
            plain["method"] = {
                key: value[:1] if key in lists and isinstance(value, list | tuple) else value
                for key, value in plain["method"].items()
            }
        plain["train"] = {**plain["train"], "lr": self.rate}
        try:
            return settings_from({**plain, "name": name, "seed": self.seed})
        except InputError as error:
            raise InputError(f"{self.line.title}: {error}") from None

    @cached_property
    def name(self) -> str:
        """The name of its run's folder; the rate is known."""
        return run_name(self.settings)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A resolved grid."""

    name: str
    lines: tuple[Line, ...]
    cells: tuple[Cell, ...]
    """Those of the comparison, seed by seed: the first seed's comparison is whole first."""

    def share(self, number: int, of: int) -> tuple[Cell, ...]:
        """Return every `of`-th cell from the `number`-th on, 1 for the first."""
        return self.cells[number - 1 :: of]


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
    grid = GridSettings.of(raw, "grid")
    for table in TABLES:
        base[table] = merged(base.get(table, {}), getattr(grid, table))
    first = base.pop("seed", 0)
    seeds = grid.seeds or (first,)
    lines = tuple(
        make_line(grid, entry, order, base, seeds[0])
        for order in grid.orders or ("",)
        for entry in grid.methods
    )
    for line in lines:  # what is wrong with settings is told before anything is run
        tried = [Cell(line=line, seed=seed, rate=line.rates[0]) for seed in seeds]
        assert all(cell.settings for cell in (*tried, *line.choosing.candidates))
    cells = tuple(
        Cell(line=line, seed=seed, rate=line.rates[0] if len(line.rates) == 1 else None)
        for seed in seeds
        for line in lines
    )
    return Grid(name=grid.name, lines=lines, cells=cells)


def is_rooted(raw: Mapping[str, Any]) -> bool:
    """Tell whether a file gives a `data_root`."""
    stream = raw.get("stream")
    return isinstance(stream, Mapping) and bool(stream.get("data_root"))


def read_base(path: Path, base: str, *, rooted: bool) -> dict[str, Any]:
    """Return the base's tables and seed; {} where there is none."""
    if not base:
        return {}
    try:
        raw = read_anchored(path.parent / base, rooted=rooted)
    except InputError as error:
        raise InputError(f"{path}: base: {error}") from None
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


def merged(under: Any, over: Any) -> Any:
    """Return a table with another one's values over its own, table by table."""
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return over
    return {**under, **{key: merged(under.get(key, {}), value) for key, value in over.items()}}


def make_line(
    grid: GridSettings,
    entry: Entry,
    order: str | tuple[str, ...],
    base: Mapping[str, Any],
    seed: int,
) -> Line:
    """Put the base, an order and a line together."""
    plain = {
        **base,
        "stream": in_order(base["stream"], order),
        "train": merged(base["train"], entry.train),
        "method": {**entry.method, "name": entry.name},
    }
    chosen = grid.select.rates.get(entry.title) if grid.select else None
    of_all = grid.select.order if grid.select else ""
    return Line(
        label=entry.title,
        order=order if isinstance(order, str) else "-".join(order),
        rates=chosen or (plain["train"].get("lr", TrainSettings().lr),),
        plain=plain,
        seed=seed,
        chooser=make_line(grid, entry, of_all, base, seed) if of_all not in ("", order) else None,
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
    return {**stream, "tasks": [tasks[name] for name in order]}
