"""What a record holds, told once; `beside` tells what lies beside it.

Writers make these models, readers check by them, and docs/format.md is printed from their
docstrings. Who writes a file can hash it, so values are checked behind a right digest too. Unknown
fields are left alone, so that a record of a later version of the same format still opens.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from amlora.evaluate.course import Course
from amlora.evaluate.lost import Lost
from amlora.settings import Many

Count = Annotated[int, Field(ge=0)]
Moment = Annotated[int, Field(ge=-1)]
Share = Annotated[float, Field(ge=0, le=1)]
Difference = Annotated[float, Field(ge=-1, le=1)]
Amount = Annotated[float, Field(ge=0)]
FORMAT = 1  # of record.json
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")  # of a file beside the record


class Part(BaseModel):
    """What all parts of a record have in common."""

    model_config = ConfigDict(
        frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Model(Part):
    """The base model of a run."""

    name: str
    """As the settings name it."""
    family: str | None = None
    """decoder-only or encoder-decoder."""
    type: str | None = None
    """Its architecture, as transformers names it."""
    revision: str | None = None
    """Commit of the hub's repository; empty for a folder."""
    fingerprint: str | None = None
    """sha256 of all weights."""
    parameters: Count | None = None
    """How many numbers the weights are."""


class TaskFacts(Part):
    """A task as the record knows it."""

    name: str
    """Of the task; no two have the same."""
    test: Count
    """Rows of the test split."""
    scored: Annotated[int, Field(ge=1)]
    """Rows of the split that was scored."""
    train: Count = 0
    """Rows of the train split."""
    dev: Count = 0
    """Rows of the dev split."""
    category: str = ""
    """The kind of task, such as NLI."""
    options: Many[str] = ()
    """The possible answers; empty for free text."""
    majority: Share | None = None
    """Share of the most frequent answer among the scored rows."""
    lost: dict[str, Lost] = {}
    """What tokenising lost of the texts, by split; empty where it was not counted."""
    digest: str = ""
    """sha256 of the task's rows."""


class StageFacts(Part):
    """What one stage of learning did."""

    task: str
    """The task's name; `all tasks` of a joint method, `stage-1` and so on with found borders."""
    steps: Count
    """Of the optimiser."""
    rows: Count
    """Learned, each counted once."""
    tokens: Count
    """Read in all steps."""
    trainable_parameters: Count
    """Trained in the stage."""
    stored_parameters: Count
    """Kept after the stage."""
    stored_examples: Count | None = None
    """Kept after the stage, made-up ones included."""
    losses: Many[float] = ()
    """Mean training loss of each tenth of the steps."""
    terms: dict[str, float] = {}
    """Mean of each loss term over the steps; empty where they were not added up."""
    remarks: Many[str] = ()
    """What did next to nothing: a term under 1 % of the task's loss, a soft threshold under 1 % of
    the step, no example kept."""


class Evaluated(Part):
    """How the rows of one evaluation were decided."""

    after: Moment
    """The stage, 0 for the first; -1 before learning."""
    phase: str
    """`before`, `entered` or `learned`."""
    hit: Count
    """Right."""
    miss: Count
    """Wrong."""
    undecided: Count
    """Generated, since the forward pass could not tell."""
    low_margin: Count
    """Generated, since two logits were too close to be trusted."""


class Metrics(Part):
    """The metrics of docs/evaluation.md, fractions; null where undefined."""

    average: Share | None = Field(None, title="Average")
    """Mean over tasks after the last stage. Every task weighs the same."""
    micro_average: Share | None = Field(None, title="Micro average")
    """The same, but every test row weighs the same."""
    forgetting: Difference | None = Field(None, title="Forgetting")
    """Fall from each task's best earlier score to its last. Lower is better."""
    bwt: Difference | None = Field(None, title="Backward transfer")
    """Change of each task from just learned to the end. Negative: forgotten."""
    fwt: Difference | None = Field(None, title="Forward transfer")
    """Gain on each task just before its own stage over the pretrained model."""
    learning_accuracy: Share | None = Field(None, title="Learning accuracy")
    """Mean score of each task just after its own stage: can the model still learn?"""


class Routing(Part):
    """Mean weight of each stage over each task's rows after the last stage."""

    stages: Many[str]
    """The first is `none`, the base model."""
    tasks: Many[str]
    """Those with a route."""
    shares: Many[Many[Share]]
    """(tasks, stages)."""

    @model_validator(mode="after")
    def fits(self) -> "Routing":
        """Refuse shares that are not (tasks, stages)."""
        check_shape("routing", self.shares, len(self.stages))
        if len(self.shares) != len(self.tasks):
            raise ValueError("not one row for each of its tasks.")
        return self


class Unrelated(Part):
    """Texts and questions of no task at one moment."""

    after: Moment
    """The stage; -1 before learning."""
    loss: Amount
    """Nats per token of the texts."""
    tokens: Count
    """Of the texts."""
    passages: Count
    """How many texts."""
    right: Count
    """Questions answered exactly."""
    begun: Count
    """Questions whose greedy answer begins with the gold tokens, whatever follows."""
    questions: Annotated[int, Field(ge=1)]
    """How many questions."""
    rejected: Share | None = None
    """Share of the prompts that the base model answered; null where prompts have no route."""

    @model_validator(mode="after")
    def fits(self) -> "Unrelated":
        """Refuse more right answers than questions."""
        if max(self.right, self.begun) > self.questions:
            raise ValueError("general has more right answers than questions.")
        return self


class Boundaries(Part):
    """Borders that were found, beside the true ones: places in the sequence of train rows."""

    found: Many[Count]
    """The first row, from 0, of each stage but the first."""
    true: Many[Count]
    """The first row of each task but the first."""
    delays: Many[int | None]
    """Per true border, in rows; null where it was missed."""
    false_alarms: Count
    """Borders that were found where there is none."""
    first: Many[int]
    """Per task the stage, 1 for the first, that learned its first row."""
    learned: Many[int]
    """Per task the first stage by whose end most of its rows had been learned."""

    @property
    def course(self) -> Course:
        """When each task was learned."""
        return Course(stages=len(self.found) + 1, first=self.first, learned=self.learned)

    @model_validator(mode="after")
    def fits(self) -> "Boundaries":
        """Refuse lists of different tasks, and stages that there are not."""
        sizes = {len(self.true) + 1, len(self.delays) + 1, len(self.first), len(self.learned)}
        stages = range(1, len(self.found) + 2)
        if len(sizes) > 1 or any(stage not in stages for stage in (*self.first, *self.learned)):
            raise ValueError("its found borders do not fit its tasks.")
        return self


class Adapted(Part):
    """Which modules have LoRAs."""

    projections: Many[str]
    """The last parts of their names."""
    with_key: Many[str]
    """Those of them that hold query, key and value in one, as in GPT-2: the key is adapted too."""


class Identity(Part):
    """What decides a run: nothing of its results."""

    name: str
    """The run's."""
    seed: int
    """Decides every random choice."""
    method: str
    """What learned."""
    method_version: int
    """Raised when a method gives other results."""
    settings: dict[str, Any]
    """All settings; those that name files and folders too."""
    settings_digest: str
    """sha256 of the settings."""
    stream_digest: str
    """sha256 of all tasks and their order."""
    model: Model
    """The base model."""
    tasks: Many[TaskFacts]
    """The tasks in the order of learning."""
    tokens_digest: str | None = None
    """sha256 of every row's token ids, and of the ids that end an answer."""
    general_digest: str | None = None
    """sha256 of the file of texts and questions of no task; null where they are not measured."""
    boundaries: Boundaries | None = None
    """Found borders; null where the borders between tasks are told."""
    adapted: Adapted | None = None
    """The modules with LoRAs."""


class Record(Identity):
    """record.json: the deterministic result of a run."""

    format: int = FORMAT
    """1."""
    R: Many[Many[Share | None]]
    """The [matrix](evaluation.md): (moments, tasks), fractions, null where nothing was measured;
    row 0 before any learning."""
    stages: Many[StageFacts]
    """What each stage did."""
    metrics: Metrics
    """Over the matrix."""
    entered: Many[Many[Share | None]] = ()
    """The scores of earlier tasks after a stage began and before it learned: a row for each stage
    whose beginning can change them, in the order of the evaluations of that phase."""
    evaluation: Many[Evaluated] = ()
    """Each evaluation in turn."""
    rows_digest: str | None
    """sha256 of rows.jsonl; null while the run is going."""
    attention_digest: str | None = None
    """sha256 of attention.json; null where there is none."""
    texts: dict[str, str] = {}
    """sha256 of the files that the method left for a reader, such as `pseudo.jsonl` of `lfpt5`."""
    config_digest: str | None = None
    """sha256 of config.toml; null where it was not recorded."""
    skills_digest: str | None = None
    """sha256 of skills/versions/0001/manifest.json, which vouches for all skills of the run; null
    where there are none."""
    routing: Routing | None = None
    """Which stages answered; null where no row is answered by the model of a stage."""
    general: Many[Unrelated] = ()
    """Texts and questions of no task, before learning and after the last stage; empty where they
    were not measured."""

    @property
    def entered_stages(self) -> list[int]:
        """The stage of each row of `entered`, 0 for the first."""
        return [each.after for each in self.evaluation if each.phase == "entered"]

    @model_validator(mode="after")
    def fits(self) -> "Record":
        """Refuse matrices, borders and evaluations that do not fit the tasks."""
        if self.format != FORMAT:
            raise ValueError(f"format {self.format}; this version reads format {FORMAT}.")
        if not self.tasks or not self.R:
            raise ValueError("it has no task or no row of accuracies.")
        tasks, (most, whose) = len(self.tasks), (len(self.tasks), "tasks")
        if self.boundaries is not None:
            if len(self.boundaries.first) != tasks:
                raise ValueError(f"its found borders do not fit its {tasks} tasks.")
            most, whose = self.boundaries.course.stages, "found stages"
        last = max((each.after for each in self.evaluation), default=-1)
        if len(self.R) > most + 1 or last >= most:
            raise ValueError(f"it has more stages than its {most} {whose}.")
        check_shape("R", self.R, tasks)
        check_shape("entered", self.entered, tasks)
        stages = self.entered_stages
        if len(stages) != len(self.entered) or any(not 0 <= at < len(self.R) for at in stages):
            raise ValueError(
                f"{len(self.entered)} rows of entered do not fit the evaluations of that phase,"
                f" after stages {stages}."
            )
        moments = (1, 2) if self.rows_digest is None else (2,)
        if self.general and (len(self.general) not in moments or self.general[0].after >= 0):
            raise ValueError("general has not one moment before learning and one after it.")
        for name in self.texts:
            if not NAME.fullmatch(name):
                raise ValueError(f"texts: {name[:60]!r} is no file of a run.")
        if len({task.name for task in self.tasks}) < tasks:
            raise ValueError("two of its tasks have the same name.")
        return self


def check_shape(what: str, rows: Sequence[Sequence[object]], width: int) -> None:
    """Refuse rows that are not `width` long."""
    for index, row in enumerate(rows):
        if len(row) != width:
            raise ValueError(f"row {index} of {what} has {len(row)} entries, not {width}.")
