"""How a learning rate is chosen, and the sealed file that says so.

The rule (docs/paper.md, protocol `clean`): every candidate learns the first task alone and is
scored on that task's dev rows. The highest score wins; of equal ones that with the lower training
loss in the last tenth of the steps; then the smaller rate. No test row and no later task is looked
at. A candidate whose loss became infinite or not a number is recorded and cannot win.
"""

from collections.abc import Sequence
from pathlib import Path

from amlora import files
from amlora.errors import InputError
from amlora.formats import typed
from amlora.grid.cells import Line
from amlora.records.beside import Candidate, Choice
from amlora.records.pack import Pack, is_pack
from amlora.records.run import RECORD, read_folder
from amlora.records.schema import Record

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
    places = [
        (-each.score, each.loss, each.rate, each)
        for each in candidates
        if each.score is not None and each.loss is not None
    ]
    if not places:
        raise InputError("no rate can be chosen: all candidates diverged.")
    return min(places, key=lambda place: place[:3])[3]


def choose(grid: str, line: Line, problems: Sequence[str], runs: Path) -> Choice:
    """Choose among a line's candidates.

    Args:
        grid: the grid's name.
        line: whose rate is chosen.
        problems: how each candidate diverged, "" where its run is finished.
        runs: the folder of runs.

    Raises:
        InputError: all of them diverged, or a record is altered.
    """
    candidates: list[Candidate] = []
    records: list[Record] = []
    for cell, problem in zip(line.candidates, problems, strict=True):
        found = {"rate": cell.settings.train.lr, "cell": cell.name, "problem": problem}
        if not problem:
            record = read_folder(runs / cell.name).record
            records.append(record)
            score, loss = record.R[-1][0], record.stages[-1].losses[-1]
            found |= {"run": cell.name, "score": score, "loss": loss}
        candidates.append(Candidate(**found))
    rate = best(candidates).rate
    record = records[-1]
    return Choice(
        grid=grid,
        label=line.label,
        order=line.order,
        method=record.method,
        method_version=record.method_version,
        seed=line.seed,
        rule=RULE,
        rate=rate,
        task=record.tasks[0].name,
        task_digest=record.tasks[0].digest,
        stream_digest=record.stream_digest,
        model=record.model.fingerprint or "",
        candidates=tuple(candidates),
    )


def choice_path(runs: Path, grid: str, line: Line) -> Path:
    """Return where a line's choice is kept; other candidates are another file."""
    # A list of tasks may be longer than a file's name can be; the hash tells it from others.
    order = f"-{line.order[:LONGEST]}" if line.order else ""
    hash8 = files.digest([cell.name for cell in line.candidates])[:8]
    return runs / "grids" / grid / "choices" / f"{line.label}{order}-{hash8}.json"


def keep_choice(runs: Path, line: Line, choice: Choice) -> None:
    """Write a choice; two processes that choose from equal records write equal bytes."""
    path = choice_path(runs, choice.grid, line)
    with files.lock(path.parent, wait=True):
        files.sweep(path.parent)
        files.write_sealed(path, choice.model_dump(mode="json"))


def read_choice(runs: Path, grid: str, line: Line) -> Choice | None:
    """Read a line's choice; None where there is none yet.

    Raises:
        InputError: altered, another line's, or not what its candidates and their runs say.
    """
    path = choice_path(runs, grid, line)
    if is_pack(runs):
        packed = {(each.grid, each.label, each.order): each for each in Pack(runs).choices()}
        choice = packed.get((grid, line.label, line.order))
    else:
        choice = typed(path, files.read_sealed(path), Choice) if files.exists(path) else None
    if choice is None:
        return None
    rates = {cell.name: cell.settings.train.lr for cell in line.candidates}
    if {each.cell: each.rate for each in choice.candidates} != rates:
        raise InputError(f"{path}: its candidates are not those of {line.label}; remove it.")
    if choice.rate != best(choice.candidates).rate:
        raise InputError(f"{path}: not the rate that its own candidates give; remove it.")
    for each in choice.candidates:
        record = files.inside(runs, each.run) / RECORD
        # A run may be gone since, but not differ.
        if each.run and files.exists(record):
            scores = files.read_sealed(record).get("R")
            if scores and scores[-1][:1] != [each.score]:
                raise InputError(
                    f"{path}: {each.run} has another score than it says; remove {path}."
                )
    return choice
