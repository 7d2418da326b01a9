"""The comparison of methods: one line per method over the seeds of its runs, as values.

Runs that differ in more than their seed are different lines, and runs of different streams (tasks,
rows, order) or base models are different tables: only what was measured alike stands side by side.
`methods_render` writes the tables in five formats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amlora.evaluate.metrics import mean_or_none
from amlora.evaluate.statistics import Interval, mean_sd
from amlora.records.run import StoredRun as Run
from amlora.records.schema import Record
from amlora.report.choices import Choice
from amlora.report.intervals import Over, average_interval
from amlora.report.lines import MethodRuns, comparable

NUMBER_BYTES = 4  # a stored parameter is counted as float32


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a method needs beyond its weights."""

    needs_task_id: bool
    stores_examples: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over seeds and its sample standard deviation, None for a single seed."""

    mean: float
    sd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralLine:
    """Texts and questions of no task: nats per token, and shares of the questions."""

    loss_before: Figure
    loss: Figure
    """After the last stage; as the two below."""
    right_before: Figure
    right: Figure
    """Answered exactly."""
    begun_before: Figure
    begun: Figure
    """The greedy answer begins with the gold tokens."""
    rejected: Figure | None
    """Share of the prompts that the base model answered; None where prompts have no route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodLine:
    """One line: fractions, numbers of parameters, megabytes (10^6 bytes), seconds."""

    label: str
    method: str
    seeds: tuple[int, ...] = ()
    average: Figure | None = None
    interval: Interval | None = None
    """Of the average, 95 %."""
    over: Over = ""
    """What the interval is over."""
    forgetting: Figure | None = None
    learning_accuracy: Figure | None = None
    bwt: Figure | None = None
    trainable_parameters: int | None = None
    """The most that were trained in any one stage."""
    stored_megabytes: float | None = None
    """Of the parameters kept after the last stage, four bytes each; examples are not in it."""
    stored_examples: int | None = None
    """Kept after the last stage, made-up ones included."""
    idle: tuple[int, int] = (0, 0)
    """Stages in which a part of the method did next to nothing, and all that could say so."""
    needs_task_id: bool | None = None
    stores_examples: bool | None = None
    """False also where the method would keep some, and no run did."""
    seconds: Figure | None = None
    rate: float | None = None
    """`train.lr`."""
    candidates: tuple[float, ...] = ()
    """The rates that it was chosen from; empty where it was given."""
    routed_right: Figure | None = None
    """The share of test rows that their own task's stage answered; None without stages."""
    general: GeneralLine | None = None
    """None where not all runs measured it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodsTable:
    """The lines of one stream and one base model; first the model before learning, where scored."""

    model: str
    tasks: tuple[str, ...]
    stream_digest: str
    lines: tuple[MethodLine, ...]


def methods_tables(
    runs: Sequence[Run],
    *,
    facts: Mapping[str, Facts],
    choices: Sequence[Choice] = (),
    labels: Mapping[Path, str] | None = None,
) -> list[MethodsTable]:
    """Put runs together.

    Args:
        runs: finished ones; several seeds of a line make one line.
        facts: by method; a method that is not there leaves its cells empty.
        choices: of learning rates.
        labels: by run folder, in the order of the lines; None: lines are named by method, or, where
            that does not tell them apart, by run name, and sorted.

    Raises:
        InputError: a seed of a line is there twice, or a line has several and scipy is missing.
    """
    made: list[MethodsTable] = []
    for lines in comparable(runs, labels):
        record = lines[0].runs[0].record
        shown = [line_of(line, facts.get(line.runs[0].record.method), choices) for line in lines]
        made.append(
            MethodsTable(
                model=record.model.name,
                tasks=tuple(task.name for task in record.tasks),
                stream_digest=record.stream_digest,
                lines=(*zero_shot([run for line in lines for run in line.runs]), *shown),
            )
        )
    return made


def line_of(line: MethodRuns, facts: Facts | None, choices: Sequence[Choice]) -> MethodLine:
    """Sum the seeds of one line up."""
    runs = line.runs
    record = runs[0].record
    last = [run.record.stages[-1] for run in runs if run.record.stages]
    rate = learning_rate(runs[0])
    stored = max((stage.stored_parameters for stage in last), default=None)
    examples = [stage.stored_examples for stage in last if stage.stored_examples is not None]
    interval, over = average_interval(runs)
    return MethodLine(
        label=line.label,
        method=record.method,
        seeds=tuple(run.record.seed for run in runs),
        average=figure([run.record.metrics.average for run in runs]),
        interval=Interval(*(end / 100 for end in interval)) if interval else None,
        over=over,
        forgetting=figure([run.record.metrics.forgetting for run in runs]),
        learning_accuracy=figure([run.record.metrics.learning_accuracy for run in runs]),
        bwt=figure([run.record.metrics.bwt for run in runs]),
        trainable_parameters=max(
            (stage.trainable_parameters for run in runs for stage in run.record.stages),
            default=None,
        ),
        stored_megabytes=None if stored is None else stored * NUMBER_BYTES / 1e6,
        stored_examples=max(examples, default=None),
        idle=idle_stages(runs),
        needs_task_id=facts.needs_task_id if facts else None,
        stores_examples=examples_kept(runs, facts),
        seconds=figure([run.measured.seconds.get("total") for run in runs]),
        rate=rate,
        candidates=candidates_of(runs[0], rate, choices),
        routed_right=figure([routed_right(run.record) for run in runs]),
        general=general_line(runs),
    )


def examples_kept(runs: Sequence[Run], facts: Facts | None) -> bool | None:
    """Tell whether a line keeps examples: as its method says, unless no stage of a run kept one."""
    if facts is None:
        return None
    counts = [stage.stored_examples for run in runs for stage in run.record.stages]
    none = bool(counts) and all(count == 0 for count in counts)
    return facts.stores_examples and not none


def idle_stages(runs: Sequence[Run]) -> tuple[int, int]:
    """Count the stages of a line's runs that have remarks, and those whose versions made any."""
    counted = [stage for run in runs for stage in run.record.stages if stage.terms]
    return sum(bool(stage.remarks) for stage in counted), len(counted)


def routed_right(record: Record) -> float | None:
    """Return the share of a run's last rows that their own task's stage answered, 0..1."""
    routing = record.routing
    if routing is None or not set(routing.tasks) <= set(routing.stages):
        return None
    rows = {task.name: task.scored for task in record.tasks}
    right = [
        shares[routing.stages.index(task)] * rows[task]
        for task, shares in zip(routing.tasks, routing.shares, strict=True)
    ]
    return sum(right) / sum(rows[task] for task in routing.tasks)


def general_line(runs: Sequence[Run]) -> GeneralLine | None:
    """Sum up what the runs of a line measured on texts and questions of no task."""
    moments = [run.record.general for run in runs]
    if not all(moments):
        return None

    def over_seeds(values: Sequence[float]) -> Figure:
        return Figure(*mean_sd(values))

    before, after = ([each[place] for each in moments] for place in (0, 1))
    return GeneralLine(
        loss_before=over_seeds([each.loss for each in before]),
        loss=over_seeds([each.loss for each in after]),
        right_before=over_seeds([each.right / each.questions for each in before]),
        right=over_seeds([each.right / each.questions for each in after]),
        begun_before=over_seeds([each.begun / each.questions for each in before]),
        begun=over_seeds([each.begun / each.questions for each in after]),
        rejected=figure([each.rejected for each in after]),
    )


def figure(values: Sequence[float | None]) -> Figure | None:
    """Mean and standard deviation over seeds; None where one is missing."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return None
    return Figure(*mean_sd(known))


def zero_shot(runs: Sequence[Run]) -> tuple[MethodLine, ...]:
    """Return the model's own scores, which runs measure before they learn; () where none did.

    They are the same in all runs but for rounding, where methods keep the weights in other types;
    then there is a standard deviation.
    """
    found = [mean_or_none(run.record.R[0]) for run in runs]
    known = [value for value in found if value is not None]
    if not known:
        return ()
    average = Figure(known[0]) if len(set(known)) == 1 else Figure(*mean_sd(known))
    return (MethodLine(label="zero-shot", method="", average=average),)


def learning_rate(run: Run) -> float | None:
    """Return a run's `train.lr`; None where its record does not hold it."""
    train = run.record.settings.get("train")
    rate = train.get("lr") if isinstance(train, dict) else None
    return float(rate) if isinstance(rate, int | float) else None


def candidates_of(run: Run, rate: float | None, choices: Sequence[Choice]) -> tuple[float, ...]:
    """Return the rates that a run's was chosen from: those of the choice that it follows."""
    record = run.record
    for choice in choices:
        asked = choice.label, choice.method, choice.rate, choice.task_digest, choice.model
        is_ = record.name, record.method, rate, record.tasks[0].digest, record.model.fingerprint
        if asked == is_:
            return tuple(candidate.rate for candidate in choice.candidates)
    return ()
