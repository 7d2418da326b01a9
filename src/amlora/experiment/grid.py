"""The cells of a grid: lines x orders x seeds, and the runs that choose each line's learning rate.

`grid_file` reads them from a grid file, `grid_choice` chooses the rates, `grid_sweep` runs them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amlora.errors import InputError
from amlora.experiment.settings import RunSettings, settings_digest, settings_from
from amlora.methods import method_class

ID = 16  # hexadecimal digits of a cell's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of a grid, its settings known."""

    label: str
    order: str
    """"" where the grid names no orders."""
    settings: RunSettings
    selects: bool
    """Whether it only helps to choose a rate: it learns the first task, and dev rows are scored."""

    @property
    def id(self) -> str:
        """A hash of all settings: the cell's name in the store, whatever grid it is in."""
        return settings_digest(self.settings)[:ID]

    @property
    def title(self) -> str:
        """What a person calls it."""
        where = f", order {self.order}" if self.order else ""
        rate = f" at {self.settings.train.lr:g}" if self.selects else ""
        kind = "select " if self.selects else ""
        return f"{kind}{self.label}{rate}{where}, seed {self.settings.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The cells of one line in one order: they share a learning rate and differ in their seed."""

    label: str
    order: str
    rates: tuple[float, ...]
    """To choose from; one where nothing is to be chosen."""
    plain: Mapping[str, Any]
    """Settings without name, seed and rate."""
    seed: int
    """Of the runs that choose the rate: the grid's first. Their choice holds for all seeds."""
    chooser: "Group | None" = None
    """The line in the order that chooses for all orders; None where each chooses for itself."""

    @property
    def choosing(self) -> "Group":
        """The group whose candidates choose this one's rate."""
        return self.chooser or self

    @property
    def key(self) -> tuple[str, str]:
        """Label and order, which no two groups of a grid share."""
        return self.label, self.order

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.label}, order {self.order}" if self.order else self.label

    def cell(self, seed: int, rate: float) -> Cell:
        """Return a cell of the comparison."""
        return self.make(self.plain, self.label, seed, rate, selects=False)

    def candidates(self) -> tuple[Cell, ...]:
        """Return the runs that choose the rate: the first task alone, scored on its dev rows.

        Texts of no task are not measured there, as nothing is chosen by them.
        """
        if len(self.rates) == 1:
            return ()
        cut = {
            **self.plain,
            "stream": {**self.plain["stream"], "first_tasks": 1},
            "evaluate": {**self.plain["evaluate"], "split": "dev", "general": ""},
            "method": first_of_lists(self.plain["method"]),
        }
        name = f"select-{self.label}"
        return tuple(self.make(cut, name, self.seed, rate, selects=True) for rate in self.rates)

    def make(
        self, plain: Mapping[str, Any], name: str, seed: int, rate: float, *, selects: bool
    ) -> Cell:
        """Make a cell; a wrong setting names the line that it stands in."""
        train = {**plain["train"], "lr": rate}
        try:
            settings = settings_from({**plain, "name": name, "seed": seed, "train": train})
        except InputError as error:
            raise InputError(f"{self.title}: {error}") from None
        return Cell(label=self.label, order=self.order, settings=settings, selects=selects)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in the comparison: its rate may be still to choose."""

    group: Group
    seed: int

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.group.title}, seed {self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A resolved grid."""

    name: str
    groups: tuple[Group, ...]
    slots: tuple[Slot, ...]
    """Seed by seed, so that the first seed's comparison is whole first."""

    def share(self, number: int, of: int) -> tuple[Slot, ...]:
        """Return every `of`-th slot from the `number`-th on, 1 for the first."""
        return self.slots[number - 1 :: of]


def first_of_lists(method: Mapping[str, Any]) -> dict[str, Any]:
    """Cut settings that are given one per task to the first task's."""
    lists = method_class(method["name"]).per_task
    return {
        key: value[:1] if key in lists and isinstance(value, list | tuple) else value
        for key, value in method.items()
    }
