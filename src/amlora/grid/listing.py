"""Where the cells of a grid stand in a folder of runs, by its files alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from amlora import files
from amlora.errors import InputError
from amlora.grid.cells import Cell, Grid
from amlora.grid.choice import read_choice
from amlora.records.run import finished, read_folder


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A cell and where it stands."""

    cell: Cell
    state: Literal["waiting", "started", "finished", "diverged", "damaged"]
    reason: str = ""
    """What is damaged, or how it diverged."""

    @property
    def run(self) -> str:
        """The name of its run's folder; "" while its rate is not chosen."""
        return "" if self.cell.rate is None else self.cell.name


def standings(grid: Grid, cells: Sequence[Cell], runs: Path) -> list[Standing]:
    """Return where cells stand, the candidates of their rates first.

    Raises:
        InputError: a choice is altered or does not hold.
    """
    choosers = {cell.line.choosing.key: cell.line.choosing for cell in cells}
    candidates: list[Standing] = []
    rates: dict[tuple[str, str], float] = {}
    for key, line in choosers.items():
        choice = read_choice(runs, grid.name, line) if line.candidates else None
        problems = {each.cell: each.problem for each in choice.candidates} if choice else {}
        candidates += [
            Standing(cell=cell, state="diverged", reason=problem)
            if (problem := problems.get(cell.name))
            else standing(cell, runs)
            for cell in line.candidates
        ]
        if choice:
            rates[key] = choice.rate
    known = [
        cell.at(rate) if (rate := rates.get(cell.line.choosing.key)) else cell for cell in cells
    ]
    return [*candidates, *(standing(cell, runs) for cell in known)]


def standing(cell: Cell, runs: Path) -> Standing:
    """Return where a cell stands."""
    if cell.rate is None:
        return Standing(cell=cell, state="waiting")
    folder = runs / cell.name
    try:
        if finished(folder):
            read_folder(folder)
            return Standing(cell=cell, state="finished")
        begun = files.exists(folder / "config.toml")
    except (InputError, OSError) as error:
        return Standing(cell=cell, state="damaged", reason=str(error))
    return Standing(cell=cell, state="started" if begun else "waiting")


def labels(grid: Grid, runs: Path) -> tuple[dict[str, str], list[str]]:
    """Return the labels of a grid's finished runs by folder name, line by line, and what is open.

    Raises:
        InputError: a choice or a run is altered, or no run is finished.
    """
    order = sorted(grid.cells, key=lambda cell: grid.lines.index(cell.line))
    found = [each for each in standings(grid, order, runs) if not each.cell.selects]
    for each in found:
        if each.state == "damaged":
            raise InputError(each.reason)
    done = {each.run: each.cell.line.label for each in found if each.state == "finished"}
    if not done:
        raise InputError(f"{runs}: no finished run of the grid {grid.name}.")
    return done, [each.cell.title for each in found if each.state != "finished"]
