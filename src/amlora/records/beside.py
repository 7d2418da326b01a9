"""What lies beside a record: measurements, decisions, attention, and a grid's choices."""

from typing import Any

from pydantic import Field, model_validator

from amlora.records.schema import Amount, Count, Moment, Part, Share, check_shape
from amlora.settings import Many


class Card(Part):
    """An accelerator."""

    name: str
    memory_bytes: Count | None = None


class Device(Part):
    """The machine."""

    cpu: str | None = None
    cpus: Count | None = None
    threads: Count | None = None
    memory_bytes: Count | None = None
    platform: str | None = None
    kernel: str | None = None
    cuda: str | None = None
    accelerators: Many[Card] = ()


class Git(Part):
    """The state of the source code; null where it is not known."""

    commit: str | None = None
    dirty: bool | None = None


class Measured(Part):
    """measured.json: what differs between two equal runs."""

    seconds: dict[str, Amount] = Field(default_factory=dict)
    """By phase, and `total`; of all processes that worked on the run one after another."""
    tokens: dict[str, Count] = Field(default_factory=dict)
    """`trained`: read in all steps."""
    tokens_per_second: Amount | None = None
    """Of training."""
    scored_rows_per_second: Amount | None = None
    """Of evaluation."""
    prefill_rows_per_second: Amount | None = None
    """What reading every scored row once would give; null where it was not timed."""
    peak_memory_bytes: Count | None = None
    """Of the accelerator where there is one, else of the process."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of Python and of the packages that can change a result."""
    git: Git = Git()
    """The source code: `commit` and `dirty`; null where not known."""
    device: Device = Device()
    """The machine: processor, threads, memory, accelerators."""
    environments: Many[dict[str, Any]] = ()
    """What decides the last bits of a result, of each process that worked on the run in turn."""
    finished: str = ""
    """ISO time at which the run ended."""


class Decision(Part):
    """rows.jsonl: how one row was decided in one evaluation, a line each."""

    after: Moment
    """The stage, 0 for the first; -1 before learning."""
    phase: str
    """`before`, `entered` or `learned`."""
    task: str
    """Its name."""
    row: str
    """Its id in the task."""
    hit: bool
    """Whether the answer is right."""
    how: str = ""
    """How it was decided."""
    answer: str | None = None
    """null where the forward pass decided."""
    gold: str = ""
    """The right answer."""
    stages: dict[str, Share] = Field(default_factory=dict)
    """Weights above 0 of the stages that answered, by name; absent where rows have no route."""
    posterior: dict[str, Share] = Field(default_factory=dict)
    """How likely the prompt is each stage's, those below 1/1000 left out; absent likewise."""
    distance: float = 0.0
    """From the likeliest stage's prompts in units of its limit: above 1 the base model answered;
    absent likewise."""

    def plain(self) -> dict[str, Any]:
        """Return the line's value: what it was made with."""
        return self.model_dump(exclude_unset=True)


class Attention(Part):
    """attention.json: which LoRAs a mixture uses, per task and module."""

    modules: Many[str]
    """Adapted layers."""
    loras: Many[str]
    """The first is `none`, the zero LoRA."""
    tasks: Many[str]
    """The tasks whose rows were read."""
    mean: Many[Many[Many[Share]]]
    """(tasks, modules, loras): the mean score of each LoRA over tokens."""
    top90: Many[Many[float]]
    """(tasks, modules): the share of tokens where one score exceeds 0.9."""
    effective: Many[Many[float]]
    """(tasks, modules): the mean of the exponential of the scores' entropy: how many LoRAs share a
    token's work, from 1 to N + 1."""
    picked: Many[Many[float | None]]
    """(tasks, modules): the share of rows in which, of all LoRAs, the task's own has the largest
    mean score; equal scores share a row. null for a task without a LoRA of its name."""

    @model_validator(mode="after")
    def fits(self) -> "Attention":
        """Refuse tables that do not fit together."""
        tasks, modules = len(self.tasks), len(self.modules)
        for what in ("top90", "effective", "picked"):
            check_shape(what, getattr(self, what), modules)
        for each in self.mean:
            check_shape("mean", each, len(self.loras))
        sizes = [len(self.mean), len(self.top90), len(self.effective), len(self.picked)]
        if sizes != [tasks] * 4 or any(len(each) != modules for each in self.mean):
            raise ValueError(f"its tables are not {tasks} tasks by {modules} modules.")
        return self


class Candidate(Part):
    """A learning rate that a grid tried."""

    rate: float
    """The learning rate."""
    cell: str = ""
    """The name of its run's folder."""
    run: str = ""
    """The same once finished; empty where it diverged."""
    score: Share | None = None
    """On the first task's dev rows; null where it diverged."""
    loss: float | None = None
    """Mean training loss of the last tenth of the steps; null where it diverged."""
    problem: str = ""
    """How it diverged."""


class Choice(Part):
    """A learning rate that a grid chose, with its grounds."""

    grid: str
    """The grid's name."""
    label: str
    """The line whose rate it is."""
    order: str = ""
    """The order; empty where the grid has none."""
    method: str
    """That learned."""
    method_version: int = 0
    """Of the method."""
    seed: int = 0
    """Of the candidates."""
    rule: str
    """How candidates are compared, in words."""
    task: str
    """The first task, which alone was learned."""
    task_digest: str
    """sha256 of its rows."""
    stream_digest: str = ""
    """Of the stream that the candidates learned."""
    model: str
    """Fingerprint of the base model's weights."""
    rate: float
    """The chosen one."""
    candidates: Many[Candidate]
