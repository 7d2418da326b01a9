"""What `skills.py` measures, and the file that it writes: a JSON line for each stage of each cell.

A cell is a line at a rate and a seed. The seed decides which rows are drawn, their order and the
LoRAs' start. What a line scores after a stage is appended when the stage ends.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from amlora import files, formats
from amlora.experiment.provenance import git_state, provenance
from amlora.streams.quickstart import built_in_task
from amlora.streams.sample import draw
from amlora.streams.task import Task

BASE = "base"
"""The model before it learns anything."""
TASKS = ("sms", "bbc", "movies", "questions", "headlines")
"""In the order learned; answers to the last are free text."""
CHOICE = "choice"
"""The first task alone, scored on dev rows: all lines learn it alike, so it chooses their rate."""
LEARN = "learn"
"""`amlora learn`."""
LINES = ("one", "merge", "told", LEARN)
RATES = (0.001, 0.003)
SEEDS = (0, 1, 2)
Entry = dict[str, Any]


@dataclass(frozen=True)
class Protocol:
    """What all lines share."""

    model: str = "smollm2-135m"
    max_tokens: int = 192
    """Of a prompt; a longer text is cut."""
    steps: int = 20
    """Of each task; as many rows as one pass takes, where there are so many."""
    batch: int = 8
    dev: int = 100
    """Rows of the first task, on which the rate is chosen."""
    test: int = 100
    """Rows of a task; all, where there are fewer."""
    test_free: int = 60
    """The same of a task whose answers are free text: each is generated to its end."""


@dataclass(frozen=True)
class Cell:
    """One line at one rate and seed."""

    line: str
    rate: float
    seed: int

    def of(self, entry: Entry) -> bool:
        """Tell whether an entry is this cell's."""
        return all(entry.get(name) == value for name, value in asdict(self).items())

    @property
    def stages(self) -> int:
        """How many tasks are learned, or scored."""
        return 1 if self.line == CHOICE else len(TASKS)

    def folder(self, work: Path) -> Path:
        """Return where the cell keeps what it has learned so far."""
        return work / f"{self.line}-{self.rate:g}-{self.seed}"


def best_rate(entries: Sequence[Entry]) -> float:
    """Return the rate with the best mean dev score of the first task; of equal ones the lowest.

    A ValueError where none was scored.
    """
    dev: dict[float, list[float]] = {}
    for entry in entries:
        if entry["line"] == CHOICE:
            dev.setdefault(entry["rate"], []).append(fmean(entry["dev"]))
    return max(sorted(dev), key=lambda rate: fmean(dev[rate]))


def check(out: Path, protocol: Protocol) -> None:
    """Write what the results are made with, or leave the program if others are there already."""
    wanted = formats.plain(asdict(protocol))
    if not files.exists(out):
        files.make_folder(out.parent)
        files.append_line(out, files.line({"made": {**provenance(), "settings": wanted}}))
    made = formats.parse_json(out, files.read_bytes(out).split(b"\n", 1)[0])["made"]
    if made["settings"] != wanted:
        raise SystemExit(f"{out}: made with {made['settings']}, not {wanted}; name another file.")


def read(out: Path) -> list[Entry]:
    """Return the results of all stages so far."""
    return formats.parse_lines(out, files.read_bytes(out), dict)[1:]


def keep(out: Path, cell: Cell, entry: Entry) -> None:
    """Append a stage's results."""
    commit = git_state(Path(__file__).parent)["commit"]
    files.append_line(out, files.line({**asdict(cell), **entry, "commit": commit}))


def drawn(seed: int, protocol: Protocol) -> list[Task]:
    """Return the tasks with the rows of a seed: labels evenly, in a seeded order."""
    found: list[Task] = []
    for task in map(built_in_task, TASKS):
        test = protocol.test if task.options else protocol.test_free
        counts = {"train": protocol.steps * protocol.batch, "dev": protocol.dev, "test": test}
        splits = {
            split: tuple(
                draw(
                    rows,
                    seed=seed,
                    task=task.name,
                    by_label=bool(task.options),
                    per_task=counts[split],
                    balanced=True,
                )
            )
            for split, rows in (("train", task.train), ("dev", task.dev), ("test", task.test))
        }
        found.append(replace(task, **splits))
    return found
