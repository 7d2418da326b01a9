"""Read a run folder: what is in it, typed and checked, every fault named with its file.

Only the fields that a report shows are read; unknown ones are left alone, so that a record of a
later version of the same format still opens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from amlora import files
from amlora.errors import InputError
from amlora.evaluate.course import Course
from amlora.evaluate.lost import Lost, lost_lines
from amlora.formats import typed

FORMAT = 1  # of record.json

Known = TypeVar("Known")


class Model(msgspec.Struct, frozen=True):
    """The base model of a run."""

    name: str
    family: str | None = None
    revision: str | None = None
    fingerprint: str | None = None
    parameters: int | None = None


class TaskFacts(msgspec.Struct, frozen=True):
    """A task as the record knows it; train, dev and test are numbers of rows."""

    name: str
    test: int
    scored: int
    """Rows of the split that was scored."""
    train: int = 0
    dev: int = 0
    category: str = ""
    options: tuple[str, ...] = ()
    majority: float | None = None
    lost: dict[str, Lost] = {}
    """What tokenising lost, by split; empty in records of versions that did not count it."""
    digest: str = ""


class StageFacts(msgspec.Struct, frozen=True):
    """What one stage of learning did."""

    task: str
    steps: int
    rows: int
    tokens: int
    trainable_parameters: int
    stored_parameters: int
    stored_examples: int | None = None
    """None in records of versions that did not count them."""
    losses: tuple[float, ...] = ()


class Counts(msgspec.Struct, frozen=True):
    """How the rows of one evaluation were decided; `after` is its stage, -1 before the first."""

    after: int
    phase: str
    hit: int
    miss: int
    undecided: int
    low_margin: int


class Metrics(msgspec.Struct, frozen=True):
    """The six metrics of `evaluate.metrics.summary`, fractions, None where undefined."""

    average: float | None = None
    micro_average: float | None = None
    forgetting: float | None = None
    bwt: float | None = None
    fwt: float | None = None
    learning_accuracy: float | None = None


class Routing(msgspec.Struct, frozen=True):
    """Mean weight of each stage over each task's rows, (task, stage); the first is "none"."""

    stages: tuple[str, ...]
    tasks: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]


class General(msgspec.Struct, frozen=True):
    """Texts and questions of no task at one moment: after a stage, -1 before the first."""

    after: int
    loss: float
    """Nats per token of the texts."""
    tokens: int
    passages: int
    right: int
    """Questions answered exactly."""
    begun: int
    """Questions whose greedy answer begins with the gold tokens, whatever follows."""
    questions: int
    rejected: float | None = None
    """Share of the prompts that the base model answered; None where prompts have no route."""


class Boundaries(msgspec.Struct, frozen=True):
    """Borders that were found, beside the true ones: places in the sequence of train rows."""

    found: tuple[int, ...]
    true: tuple[int, ...]
    delays: tuple[int | None, ...]
    """Per true border, in rows; None where it was missed."""
    false_alarms: int
    first: tuple[int, ...]
    """Per task the stage, 1 for the first, that learned its first row."""
    learned: tuple[int, ...]
    """Per task the first stage by whose end most of its rows had been learned."""

    @property
    def course(self) -> Course:
        """When each task was learned."""
        return Course(stages=len(self.found) + 1, first=self.first, learned=self.learned)


class Record(msgspec.Struct, frozen=True):
    """record.json: the deterministic result of a run. R is (moments, tasks), fractions or None."""

    format: int
    name: str
    seed: int
    method: str
    model: Model
    tasks: tuple[TaskFacts, ...]
    R: tuple[tuple[float | None, ...], ...]
    stages: tuple[StageFacts, ...]
    settings: dict[str, Any]
    settings_digest: str
    stream_digest: str
    metrics: Metrics = Metrics()
    entered: tuple[tuple[float | None, ...], ...] = ()
    """One row per evaluation whose phase is "entered", in their order."""
    method_version: int | str = ""
    evaluation: tuple[Counts, ...] = ()
    rows_digest: str | None = None
    """None while the run is going."""
    attention_digest: str | None = None
    """None where there is no attention.json."""
    routing: Routing | None = None
    """None where no row is answered by the model of a stage."""
    general: tuple[General, ...] = ()
    """Before learning and after the last stage; empty where it was not measured."""
    general_digest: str | None = None
    """Of the file of texts and questions."""
    boundaries: Boundaries | None = None
    """None where the borders between tasks are told."""


class Attention(msgspec.Struct, frozen=True):
    """attention.json: mean scores (task, module, 1 + N), how sparse they are, and who leads rows.

    The latter two are per task and module.
    """

    modules: tuple[str, ...]
    loras: tuple[str, ...]
    tasks: tuple[str, ...]
    mean: tuple[tuple[tuple[float, ...], ...], ...]
    top90: tuple[tuple[float, ...], ...]
    effective: tuple[tuple[float, ...], ...]
    picked: tuple[tuple[float | None, ...], ...] = ()
    """Empty in files of versions that did not measure it; None for a task without its own LoRA."""


class Measured(msgspec.Struct, frozen=True):
    """measured.json: times (seconds), memory (bytes) and where the run took place."""

    seconds: dict[str, float] = {}
    tokens: dict[str, float] = {}
    tokens_per_second: float | None = None
    peak_memory_bytes: int | None = None
    versions: dict[str, str] = {}
    git: dict[str, Any] = {}
    device: dict[str, Any] = {}
    finished: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run folder as read. `config` is the text of config.toml, "" where there is none."""

    folder: Path
    record: Record
    measured: Measured
    attention: Attention | None
    config: str


def decode(path: Path, kind: type[Known]) -> Known:
    """Read a JSON file as `kind`; any fault is one line naming the file."""
    return typed(path, files.read_json(path), kind)


def check_shape(path: Path, what: str, rows: Sequence[Sequence[object]], width: int) -> None:
    """Refuse rows that are not `width` long."""
    for index, row in enumerate(rows):
        if len(row) != width:
            raise InputError(f"{path}: row {index} of {what} has {len(row)} entries, not {width}.")


def lost_texts(record: Record) -> list[str]:
    """Say what tokenising lost of each task's texts; nothing where nothing is, or none counted."""
    model = record.settings.get("model")
    longest = model.get("max_tokens", 0) if isinstance(model, dict) else 0
    lines: list[str] = []
    for task in record.tasks:
        rows = {"train": task.train, "dev": task.dev, "test": task.test}
        counts = {name: (lost, rows[name]) for name, lost in task.lost.items() if name in rows}
        lines += lost_lines(task.name, counts, longest)
    return lines


def entered_stages(record: Record) -> list[int]:
    """Return the stage of each row of `entered`, 0 for the first."""
    return [counts.after for counts in record.evaluation if counts.phase == "entered"]


def read_record(path: Path) -> Record:
    """Read and check a record.json.

    Raises:
        InputError: absent, altered, of another format, or its matrices do not fit its tasks.
    """
    if not files.exists(path):
        raise InputError(f"{path}: no such file; is this the folder of a run?")
    record = typed(path, files.read_sealed(path), Record)
    if record.format != FORMAT:
        raise InputError(f"{path}: format {record.format}; this version reads format {FORMAT}.")
    if not record.tasks or not record.R:
        raise InputError(f"{path}: it has no task or no row of accuracies.")
    check_boundaries(path, record)
    last = max((counts.after for counts in record.evaluation), default=-1)
    most, whose = len(record.tasks), "tasks"
    if record.boundaries is not None:
        most, whose = len(record.boundaries.found) + 1, "found stages"
    if len(record.R) > most + 1 or last >= most:
        raise InputError(f"{path}: it has more stages than its {most} {whose}.")
    check_shape(path, "R", record.R, len(record.tasks))
    check_shape(path, "entered", record.entered, len(record.tasks))
    stages = entered_stages(record)
    if len(stages) != len(record.entered) or any(not 0 <= at < len(record.R) for at in stages):
        raise InputError(
            f"{path}: {len(record.entered)} rows of entered do not fit the evaluations of that"
            f" phase, after stages {stages}."
        )
    if any(value is not None and not 0 <= value <= 1 for row in record.R for value in row):
        raise InputError(f"{path}: R has an entry outside 0..1.")
    if record.routing is not None:
        check_shape(path, "routing", record.routing.shares, len(record.routing.stages))
        if len(record.routing.shares) != len(record.routing.tasks):
            raise InputError(f"{path}: routing has not one row for each of its tasks.")
    if record.general:
        check_general(path, record.general)
    if any(task.scored < 1 for task in record.tasks):
        raise InputError(f"{path}: a task has no test rows.")
    return record


def check_general(path: Path, moments: Sequence[General]) -> None:
    """Refuse measurements on texts and questions that cannot be.

    Raises:
        InputError: not two moments, or more questions right than there are.
    """
    if len(moments) != 2 or moments[0].after >= 0:
        raise InputError(f"{path}: general has not one moment before learning and one after it.")
    for each in moments:
        if each.questions < 1 or not 0 <= max(each.right, each.begun) <= each.questions:
            raise InputError(f"{path}: general has more right answers than questions.")


def check_boundaries(path: Path, record: Record) -> None:
    """Refuse found borders that do not fit the tasks or the stages."""
    found = record.boundaries
    if found is None:
        return
    tasks, stages = len(record.tasks), len(found.found) + 1
    sizes = [len(found.true) + 1, len(found.delays) + 1, len(found.first), len(found.learned)]
    fitting = all(1 <= stage <= stages for stage in (*found.first, *found.learned))
    if sizes != [tasks] * 4 or not fitting:
        raise InputError(f"{path}: its found borders do not fit its {tasks} tasks.")


def read_attention(path: Path, expected: str | None) -> Attention:
    """Read and check an attention.json; its first LoRA is the zero LoRA, "none".

    Raises:
        InputError: another sha256 than the record states, if it does, or tables that do not fit.
    """
    if expected is not None and files.sha256_file(path) != expected:
        raise InputError(f"{path}: altered; its sha256 is not the one in record.json.")
    attention = decode(path, Attention)
    shape = len(attention.tasks), len(attention.modules)
    for what, table in (("top90", attention.top90), ("effective", attention.effective)):
        check_shape(path, what, table, shape[1])
    for modules in attention.mean:
        check_shape(path, "mean", modules, len(attention.loras))
    if attention.picked:
        check_shape(path, "picked", attention.picked, shape[1])
    sizes = [len(attention.mean), len(attention.top90), len(attention.effective)]
    sizes.append(len(attention.picked) or shape[0])
    if sizes != [shape[0]] * 4 or any(len(modules) != shape[1] for modules in attention.mean):
        raise InputError(f"{path}: its tables are not {shape[0]} tasks by {shape[1]} modules.")
    return attention


def read_run(folder: Path) -> Run:
    """Read a run folder; only record.json must be there.

    Raises:
        InputError: a file that is absent, truncated or does not fit, in one line with its path.
    """
    measured, attention, config = (
        folder / name for name in ("measured.json", "attention.json", "config.toml")
    )
    record = read_record(folder / "record.json")
    stated = record.attention_digest
    return Run(
        folder=folder,
        record=record,
        measured=decode(measured, Measured) if measured.exists() else Measured(),
        attention=read_attention(attention, stated) if attention.exists() else None,
        config=config.read_text(encoding="utf-8") if config.exists() else "",
    )


def labels(runs: Sequence[Run]) -> list[str]:
    """One distinct label per run: its name, method, seed and folder, as far as needed."""
    ways = (
        lambda run: run.record.name,
        lambda run: run.record.method,
        lambda run: f"{run.record.name}, {run.record.method}",
        lambda run: f"{run.record.method}, seed {run.record.seed}",
        lambda run: f"{run.record.name}, seed {run.record.seed}",
        lambda run: f"{run.record.name}, seed {run.record.seed} ({run.folder.name})",
        lambda run: f"{run.record.name}, seed {run.record.seed} ({run.folder})",
    )
    for way in ways:
        if len(set(found := [way(run) for run in runs])) == len(runs):
            return found
    raise InputError("the same run folder is given twice.")
