"""What record.json and measured.json hold: typed, in range, and fitting together.

Only the fields that are shown or decided by are read; unknown ones are left alone, so that a record
of a later version of the same format still opens. Who writes a file can hash it, so values are
checked behind a right digest too.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from amlora import files
from amlora.errors import InputError
from amlora.evaluate.course import Course
from amlora.evaluate.lost import Lost
from amlora.formats import typed

Count = Annotated[int, msgspec.Meta(ge=0)]
Moment = Annotated[int, msgspec.Meta(ge=-1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Difference = Annotated[float, msgspec.Meta(ge=-1, le=1)]
Amount = Annotated[float, msgspec.Meta(ge=0)]
FORMAT = 1  # of record.json
RECORD = "record.json"
MOST = 4 << 30  # bytes of the rows of a run
SKILLS = "skills"
MANIFEST = f"{SKILLS}/versions/0001/manifest.json"  # vouches for all skills that the run wrote
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")  # of a file beside the record


class Model(msgspec.Struct, frozen=True):
    """The base model of a run."""

    name: str
    family: str | None = None
    revision: str | None = None
    fingerprint: str | None = None
    parameters: Count | None = None


class TaskFacts(msgspec.Struct, frozen=True):
    """A task as the record knows it; train, dev and test are numbers of rows."""

    name: str
    test: Count
    scored: Count
    """Rows of the split that was scored."""
    train: Count = 0
    dev: Count = 0
    category: str = ""
    options: tuple[str, ...] = ()
    majority: Share | None = None
    lost: dict[str, Lost] = {}
    """What tokenising lost, by split; empty in records of versions that did not count it."""
    digest: str = ""


class StageFacts(msgspec.Struct, frozen=True):
    """What one stage of learning did."""

    task: str
    steps: Count
    rows: Count
    tokens: Count
    trainable_parameters: Count
    stored_parameters: Count
    stored_examples: Count | None = None
    """None in records of versions that did not count them."""
    losses: tuple[float, ...] = ()
    terms: dict[str, float] = {}
    """Each loss term's mean; empty in records of versions that did not add them up."""
    remarks: tuple[str, ...] = ()
    """What did next to nothing."""


class Counts(msgspec.Struct, frozen=True):
    """How the rows of one evaluation were decided; `after` is its stage, -1 before the first."""

    after: Moment
    phase: str
    hit: Count
    miss: Count
    undecided: Count
    low_margin: Count


class Metrics(msgspec.Struct, frozen=True):
    """The six metrics of `evaluate.metrics.summary`, fractions, None where undefined."""

    average: Share | None = None
    micro_average: Share | None = None
    forgetting: Difference | None = None
    bwt: Difference | None = None
    fwt: Difference | None = None
    learning_accuracy: Share | None = None


class Routing(msgspec.Struct, frozen=True):
    """Mean weight of each stage over each task's rows, (task, stage); the first is "none"."""

    stages: tuple[str, ...]
    tasks: tuple[str, ...]
    shares: tuple[tuple[Share, ...], ...]


class General(msgspec.Struct, frozen=True):
    """Texts and questions of no task at one moment: after a stage, -1 before the first."""

    after: Moment
    loss: Amount
    """Nats per token of the texts."""
    tokens: Count
    passages: Count
    right: Count
    """Questions answered exactly."""
    begun: Count
    """Questions whose greedy answer begins with the gold tokens, whatever follows."""
    questions: Count
    rejected: Share | None = None
    """Share of the prompts that the base model answered; None where prompts have no route."""


class Boundaries(msgspec.Struct, frozen=True):
    """Borders that were found, beside the true ones: places in the sequence of train rows."""

    found: tuple[Count, ...]
    true: tuple[Count, ...]
    delays: tuple[int | None, ...]
    """Per true border, in rows; None where it was missed."""
    false_alarms: Count
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
    texts: dict[str, str] = {}
    """sha256 of the files that the method left for a reader, by name."""
    config_digest: str | None = None
    """None in records of versions that did not vouch for config.toml."""
    skills_digest: str | None = None
    """sha256 of the manifest in `skills`, of version 0001; None where there are none."""
    routing: Routing | None = None
    """None where no row is answered by the model of a stage."""
    general: tuple[General, ...] = ()
    """Before learning and after the last stage; empty where it was not measured."""
    general_digest: str | None = None
    """Of the file of texts and questions."""
    boundaries: Boundaries | None = None
    """None where the borders between tasks are told."""


class Card(msgspec.Struct, frozen=True):
    """An accelerator."""

    name: str


class Device(msgspec.Struct, frozen=True):
    """The machine."""

    cpu: str | None = None
    threads: Count | None = None
    memory_bytes: Count | None = None
    platform: str | None = None
    accelerators: tuple[Card, ...] = ()


class Git(msgspec.Struct, frozen=True):
    """The state of the source code; None where it is not known."""

    commit: str | None = None
    dirty: bool | None = None


class Measured(msgspec.Struct, frozen=True):
    """measured.json: times (seconds), memory (bytes) and where the run took place."""

    seconds: dict[str, Amount] = {}
    tokens: dict[str, Amount] = {}
    tokens_per_second: Amount | None = None
    peak_memory_bytes: Count | None = None
    versions: dict[str, str] = {}
    git: Git = Git()
    device: Device = Device()
    finished: str = ""


def check_shape(path: Path, what: str, rows: Sequence[Sequence[object]], width: int) -> None:
    """Refuse rows that are not `width` long."""
    for index, row in enumerate(rows):
        if len(row) != width:
            raise InputError(f"{path}: row {index} of {what} has {len(row)} entries, not {width}.")


def entered_stages(record: Record) -> list[int]:
    """Return the stage of each row of `entered`, 0 for the first."""
    return [counts.after for counts in record.evaluation if counts.phase == "entered"]


def as_record(path: Path, value: Mapping[str, Any]) -> Record:
    """Check the contents of a record.json.

    Raises:
        InputError: of another format, or its matrices do not fit its tasks.
    """
    record = typed(path, value, Record)
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
    for name in record.texts:
        if not NAME.fullmatch(name):
            raise InputError(f"{path}: texts: {name[:60]!r} is no file of a run.")
    if len({task.name for task in record.tasks}) < len(record.tasks):
        raise InputError(f"{path}: two of its tasks have the same name.")
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


def read_measured(path: Path) -> Measured:
    """Read a measured.json.

    Raises:
        InputError: not JSON, or not what a run measures.
    """
    return typed(path, files.read_json(path), Measured)


def check_files(folder: Path, record: Record, *, all_there: bool) -> None:
    """Refuse what lies beside a record and is not what it speaks of.

    Args:
        folder: of the run.
        record: as read from it.
        all_there: refuse also where a file of results is missing.

    Raises:
        InputError: names the file that is altered, missing, or of another run.
    """
    results = {
        "rows.jsonl": record.rows_digest,
        "attention.json": record.attention_digest,
        **record.texts,
    }
    for name, digest in results.items():
        if digest is not None and (all_there or files.exists(folder / name)):
            check_file(folder / name, digest)
    if record.attention_digest is None and files.exists(folder / "attention.json"):
        raise InputError(f"{folder / 'attention.json'}: the run's record does not speak of it.")
    if record.config_digest is not None and files.exists(folder / "config.toml"):
        check_file(folder / "config.toml", record.config_digest)
    if files.exists(folder / SKILLS):
        if record.skills_digest is not None:
            check_file(folder / MANIFEST, record.skills_digest)
        elif record.config_digest is not None:  # earlier versions did not vouch for skills
            raise InputError(f"{folder / SKILLS}: the run's record does not speak of it.")


def check_skills(folder: Path) -> None:
    """Refuse a run's skills that its record does not speak of."""
    path = folder / RECORD
    check_files(folder, as_record(path, files.read_sealed(path)), all_there=False)


def check_file(path: Path, expected: str) -> None:
    """Refuse a file of a run whose bytes are not those that the record speaks of."""
    try:
        found = files.sha256_file(path, most=MOST)
    except FileNotFoundError:
        raise InputError(f"{path}: missing; the run's record speaks of it.") from None
    if found != expected:
        raise InputError(f"{path}: altered; its sha256 is not the one in record.json.")
