"""What a skills folder says of its skills: facts that are written once, and never change after.

Three kinds of file hold them. In a skill's own folder, and as old as the skill:

    learned.json       `Learned`: how it was learned, and how well it answers
    kept.jsonl         `KeptRow` a line: the rows that the user let us keep, and the skill's answers

In a version's folder:

    scores.json        `Standing`: which kept rows other skills answer now, and what the gate said

A skill's answer to a prompt never changes, so a version's scores follow from the skills' own
answers and from the rows that go astray: those that another skill, or none, answers in it.
"""

from typing import Literal

from pydantic import Field

from amlora.records.schema import Amount, Count, Difference, Part, Share
from amlora.settings import Many

NO_SKILL = "none"
"""Stands for no skill at all: the base model answers."""
Metric = Literal["exact", "f1", "rouge-l", "loss"]
"""exact: 1 or 0 a row. f1: of the answer's words. rouge-l: of its longest common subsequence. loss:
exp(-loss), the geometric mean of the right answer's token probabilities; nothing is generated."""
Verdict = Literal["worse", "undecided", "safe", "identical", "new", "gone"]
"""Of a skill in a new version. identical: no kept row's answer changed. worse: the change is shown
to be beyond the limit; safe: shown not to be; undecided: neither, at so many kept rows. new, gone:
only one of both versions has the skill."""


class Interval(Part):
    """Both ends of a 95 % confidence interval."""

    low: float
    high: float


class KeptRow(Part):
    """A row that the skill was not trained on, kept so that later versions can be compared."""

    row: str
    """Stable id: the split it was read from and its place there."""
    text: str
    label: str
    """The right answer."""
    answer: str
    """The skill's own."""
    score: Share
    """Of that answer, by the skill's metric."""
    loss: Amount
    """Of the right answer, in nats a token, its end included."""


class Uses(Part):
    """Which earlier skills' LoRAs a skill was learned on top of, and why."""

    names: Many[str]
    """As the skills were called then."""
    why: str
    """A line for a reader."""
    scores: dict[str, Share]
    """Of each candidate on the new task's own rows: "base", "all", and the nearest skill's name."""
    losses: dict[str, Amount]
    """The same in nats a token of the answer."""


class Tried(Part):
    """A rate that was tried before learning."""

    lr: Amount
    steps: Count
    """Of the trial."""
    loss: Amount | None
    """Of the stop rows' answers at its end, nats a target token; None where it was no number."""


class Learned(Part):
    """How a skill was learned."""

    task: str
    """What it was called then."""
    metric: Metric
    rows: dict[str, Count]
    """"train", "stop" (when to stop was decided on them) and "kept"."""
    duplicates: Count
    """Rows dropped because another had an equal text."""
    contradictions: Count
    """Rows among them whose label was another: with options all that had the text, as nobody can
    tell which is right; in free text all but the first."""
    overlap: dict[str, Count]
    """How many of the new kept prompts went to each earlier skill before this one was learned."""
    zero_shot: Share
    """The base model's score on the kept rows."""
    majority: Share
    """That of the most frequent answer."""
    score: Share
    """The skill's own on the kept rows, each answered by this skill."""
    interval: Interval
    uses: Uses
    steps: Count
    """Until learning stopped."""
    best: Count
    """The step whose weights were kept."""
    losses: Many[tuple[Count, Amount, Amount]]
    """Step, train loss since the entry before, stop loss; nats a target token. The first is before
    learning, and has 0 for the train loss."""
    tried: Many[Tried] = ()
    """Rates that were tried before, on part of the steps; the best was taken."""
    tokens: Count
    """Read in training."""
    seconds: dict[str, Amount]
    """By what they were spent on: "load", "before" (what is asked before learning), "learn",
    "score", "assess"; of learning "train", "look" and "tune", over all calls that worked on it."""
    settings: dict[str, object]
    """All of `LearnSettings`, as plain values."""
    data: str
    """Where the rows came from, as the user named it."""
    digest: str
    """sha256 of the task's rows and words."""
    room: Count
    """Tokens that its answers may have."""
    environment: dict[str, object]
    """Versions, threads, device, arithmetic."""


class Astray(Part):
    """A kept row that another skill than its own answers in a version."""

    skill: str
    """Whose row it is."""
    row: str
    to: str
    """Who answers it: a skill, or NO_SKILL."""
    answer: str | None = None
    """None where the row's text was not kept."""
    score: Share | None = None


class Change(Part):
    """What one skill's kept rows say of a version, against the version that it was made from."""

    skill: str
    metric: Metric
    kept: Count
    """Rows, or vectors of rows where the texts were not kept. After an update: rows that were kept
    before and after it."""
    moved: Count
    """Rows that are answered by another skill than before; of a new skill, than itself."""
    changed: Count | None
    """Rows whose answer is another; None where no texts were kept, or nothing was before."""
    before: Share | None
    """Mean score of these rows; None where it is not known."""
    after: Share | None
    """The same in the new version."""
    change: Difference | None
    interval: Interval | None
    """Of the paired change, -1..1; of a new skill's score, 0..1."""
    verdict: Verdict
    power: Share | None = None
    """Undecided: the chance that so many rows show a drop of the limit, which is an interval wholly
    below 0, if as many change as did."""
    needed: Count | None = None
    """Undecided: how many rows would show it with a chance of 80 %."""
    lost_to: dict[str, Count] = Field(default_factory=dict)
    """Who answers the moved rows now."""


class Gate(Part):
    """Whether a version may be used, and why."""

    passed: bool
    max_drop: Amount
    """In points: the most that an earlier skill may be shown to lose."""
    refused: Many[str] = ()
    """Why not, a line each."""
    undecided: Many[str] = ()
    """What could not be told, a line each."""


class Standing(Part):
    """What a version says of its skills."""

    did: Literal["learn", "update", "remove", "rename"]
    skill: str
    """That it was done to; the new name where it was renamed."""
    renamed: dict[str, str] = Field(default_factory=dict)
    """Old name to new, where names changed since the version before."""
    changes: Many[Change]
    """Of every skill of this version or the one before, worst first."""
    astray: Many[Astray]
    """All of them in this version, whenever they went."""
    checked: Count
    """Rows whose route did not change and that were answered once more with the same answer."""
    differed: Count = 0
    """Those with another answer. There are some in bfloat16 alone, where rounding depends on which
    rows are answered together, so that two answers that are nearly as likely may change places."""
    general: Count
    """Prompts of no skill."""
    to_base: Count
    """How many of these go to the base model."""
    to_base_before: Count | None
    """How many did in the version before; None in the first one."""
    gate: Gate
