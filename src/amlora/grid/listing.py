"""Where the cells of a grid stand in a folder of runs, by its files alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from amlora import files
from amlora.errors import InputError
from amlora.grid.cells import Cell, Grid
from amlora.grid.choice import read_choice
from amlora.records.run import CONFIG
from amlora.records.store import is_finished, read_run


class Standing(NamedTuple):
    """A cell and where it stands."""

    cell: Cell
    """Its rate is None while that is not chosen."""
    state: Literal["waiting", "started", "finished", "diverged", "damaged"]
    reason: str = ""
    """What is damaged, or how it diverged."""


def standings(grid: Grid, cells: Sequence[Cell], runs: Path) -> list[Standing]:
    """Return where cells stand, the candidates of their rates first.

    Raises:
        InputError: a choice is altered or does not hold.
    """
    found: list[Standing] = []
    rates: dict[tuple[str, str], float] = {}
    for key, line in {cell.line.choosing.key: cell.line.choosing for cell in cells}.items():
        problems: dict[str, str] = {}
        if choice := read_choice(runs, grid.name, line):
            rates[key] = choice.rate
            problems = {each.cell: each.problem for each in choice.candidates}
        found += [standing(cell, runs, problems.get(cell.name, "")) for cell in line.candidates]
    for cell in cells:
        rate = rates.get(cell.line.choosing.key)
        found.append(standing(cell if rate is None else cell.at(rate), runs))
    return found


def standing(cell: Cell, runs: Path, problem: str = "") -> Standing:
    """Return where a cell stands; `problem` tells how it diverged."""
    if problem:
        return Standing(cell, "diverged", problem)
    if cell.rate is None:
        return Standing(cell, "waiting")
    folder = runs / cell.name
    try:
        if is_finished(folder):
            read_run(folder)
            return Standing(cell, "finished")
        return Standing(cell, "started" if files.exists(folder / CONFIG) else "waiting")
    except (InputError, OSError) as error:
        return Standing(cell, "damaged", str(error))


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
    done = {each.cell.name: each.cell.line.label for each in found if each.state == "finished"}
    if not done:
        raise InputError(f"{runs}: no finished run of the grid {grid.name}.")
    return done, [each.cell.title for each in found if each.state != "finished"]
