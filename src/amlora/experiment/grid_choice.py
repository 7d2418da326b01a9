"""How a learning rate is chosen, and the sealed file that says so.

The rule (docs/paper.md, protocol `clean`): every candidate learns the first task alone and is
scored on that task's dev rows. The highest score wins; of equal ones that with the lower training
loss in the last tenth of the steps; then the smaller rate. No test row and no later task is looked
at. A candidate whose loss became infinite or not a number is recorded and cannot win.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amlora import files
from amlora.errors import InputError
from amlora.experiment.grid import Cell, Group
from amlora.experiment.store import read_record
from amlora.formats import typed
from amlora.methods import method_class
from amlora.records.beside import Candidate, Choice
from amlora.records.run import RECORD

RULE = (
    "first task alone; highest dev score, then lower mean training loss of the last tenth, then"
    " smaller rate"
)

LONGEST = 60  # letters of an order in a choice's file name


def best(candidates: Sequence[Candidate]) -> Candidate:
    """Return the winner by the rule above.

    Raises:
        InputError: all of them diverged.
    """
    able = [each for each in candidates if each.score is not None and each.loss is not None]
    if not able:
        raise InputError("no rate can be chosen: all candidates diverged.")

    def place(each: Candidate) -> tuple[float, float, float]:
        assert each.score is not None and each.loss is not None
        return -each.score, each.loss, each.rate

    return min(able, key=place)


def choose(grid: str, group: Group, outcomes: Sequence[tuple[Cell, Path | None, str]]) -> Choice:
    """Choose among finished candidates.

    Args:
        grid: the grid's name.
        group: whose rate is chosen.
        outcomes: each candidate, its run's folder, or None and how it diverged.

    Raises:
        InputError: all of them diverged, or a record is altered.
    """
    candidates: list[Candidate] = []
    record: dict[str, Any] = {}
    for cell, folder, problem in outcomes:
        score = loss = None
        if folder is not None:
            record = read_record(folder)
            score, loss = record["R"][-1][0], record["stages"][-1]["losses"][-1]
        candidates.append(
            Candidate(
                rate=cell.settings.train.lr,
                cell=cell.id,
                run=folder.name if folder else "",
                score=score,
                loss=loss,
                problem=problem,
            )
        )
    return Choice(
        grid=grid,
        label=group.label,
        order=group.order,
        method=outcomes[0][0].settings.method.name,
        method_version=method_class(outcomes[0][0].settings.method.name).version,
        seed=group.seed,
        rule=RULE,
        rate=best(candidates).rate,
        task=record["tasks"][0]["name"],
        task_digest=record["tasks"][0]["digest"],
        stream_digest=record["stream_digest"],
        model=record["model"]["fingerprint"],
        candidates=tuple(candidates),
    )


def choice_path(store: Path, grid: str, group: Group) -> Path:
    """Return where a group's choice is kept; other candidates are another file."""
    # A list of tasks may be longer than a file's name can be; the hash tells it from others.
    order = f"-{group.order[:LONGEST]}" if group.order else ""
    hash8 = files.digest([cell.id for cell in group.candidates()])[:8]
    return store / "grids" / grid / "choices" / f"{group.label}{order}-{hash8}.json"


def keep_choice(path: Path, choice: Choice) -> None:
    """Write a choice; two processes that choose from equal records write equal bytes."""
    with files.lock(path.parent, wait=True):
        files.sweep(path.parent)
        files.write_sealed(path, choice.model_dump(mode="json"))


def read_choice(path: Path) -> Choice | None:
    """Read a choice; None where there is none yet.

    Raises:
        InputError: altered, or not a choice.
    """
    if not files.exists(path):
        return None
    return typed(path, files.read_sealed(path), Choice)


def chosen_rate(store: Path, grid: str, group: Group) -> float | None:
    """Return a group's rate; None while it is to be chosen."""
    if len(group.rates) == 1:
        return group.rates[0]
    path = choice_path(store, grid, group.choosing)
    choice = read_choice(path)
    if choice is None:
        return None
    check_choice(path, choice, group.choosing, store)
    return choice.rate


def check_choice(path: Path, choice: Choice, group: Group, store: Path) -> None:
    """Refuse a choice that is another group's, or not what its candidates and their runs say.

    Raises:
        InputError: names the file.
    """
    cells = {cell.id: cell.settings.train.lr for cell in group.candidates()}
    if {each.cell: each.rate for each in choice.candidates} != cells:
        raise InputError(f"{path}: its candidates are not those of {group.label}; remove it.")
    if choice.rate != best(choice.candidates).rate:
        raise InputError(f"{path}: not the rate that its own candidates give; remove it.")
    for each in choice.candidates:
        check_candidate(path, each, store)


def check_candidate(path: Path, candidate: Candidate, store: Path) -> None:
    """Refuse a candidate whose run, where it is still there, has another score.

    Raises:
        InputError: names the choice and the run.
    """
    record = files.inside(store, candidate.run) / RECORD
    if not candidate.run or not files.exists(record):
        return
    scores = files.read_sealed(record).get("R")
    if scores and scores[-1][:1] != [candidate.score]:
        raise InputError(f"{path}: {candidate.run} has another score than it says; remove {path}.")
