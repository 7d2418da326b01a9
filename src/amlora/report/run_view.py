"""One run on the page: metrics, matrix, newcomers' entries, attention, settings, provenance."""

import json
from dataclasses import dataclass
from typing import Any

from amlora.records.run import StoredRun as Run
from amlora.records.schema import Evaluated, Record
from amlora.report import format
from amlora.report.attention_view import AttentionView, attention_view
from amlora.report.belief_view import belief_sheets
from amlora.report.matrix import Line, accuracy_lines, entered_lines, is_joint, name_of
from amlora.report.provenance import provenance
from amlora.report.typeset import Sheet

METRICS = (
    ("average", "Average", "Mean over tasks after the last stage. Every task weighs the same."),
    ("micro_average", "Micro average", "The same, but every test row weighs the same."),
    (
        "forgetting",
        "Forgetting",
        "Fall from each task's best earlier score to its last, in points. Lower is better.",
    ),
    (
        "bwt",
        "Backward transfer",
        "Change of each task from just learned to the end, in points. Negative: forgotten.",
    ),
    (
        "fwt",
        "Forward transfer",
        "Gain on each task just before its own stage over the pretrained model, in points.",
    ),
    (
        "learning_accuracy",
        "Learning accuracy",
        "Mean score of each task just after its own stage: can the model still learn?",
    ),
)
SIGNED = ("bwt", "fwt")
EVALUATED = (
    "A hit or a miss is certain from one pass over prompt and answer; undecided rows, and rows with"
    " a small margin, are decoded."
)
FOUND = (
    "Nobody told where a task ends: all train rows came as one sequence, and a stage began where"
    " prompts looked like nothing seen. Until then a new task's rows were learned by the stage"
    " before. A task counts as learned after the first stage by whose end most of its rows were."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """Everything the page shows of one run."""

    anchor: str
    label: str
    short: str
    """Its result in a few words, for a folded run."""
    record: Record
    facts: tuple[str, ...]
    lines: list[Line]
    entered: list[Line]
    metrics: tuple[tuple[str, str, str], ...]
    attention: AttentionView | None
    beliefs: tuple[Sheet, ...]
    """What test rows were taken for; empty where no stages were told apart."""
    general: Sheet | None
    borders: Sheet | None
    """None where the borders between tasks are told."""
    stages: Sheet
    evaluation: Sheet
    settings: str
    provenance: tuple[tuple[str, str], ...]


def run_view(run: Run, label: str, anchor: str, *, draw: bool) -> RunView:
    """Gather what the page shows of one run.

    Args:
        run: as read.
        label: its name on the page.
        anchor: what links to it point to; differs between the runs of a page.
        draw: whether its attention is drawn by layer.
    """
    record = run.record
    names = [task.name for task in record.tasks]
    sizes = [task.scored for task in record.tasks]
    attention = run.attention
    found = record.boundaries and record.boundaries.course
    return RunView(
        anchor=anchor,
        label=label,
        short=short(record),
        record=record,
        facts=facts(run),
        lines=accuracy_lines(names, sizes, record.R, joint=joint(record), found=found),
        entered=entered_lines(
            names, sizes, record.R, record.entered, record.entered_stages, found=found
        ),
        metrics=metrics(record),
        attention=attention and attention_view(attention, anchor, draw=draw),
        beliefs=belief_sheets(run),
        general=general(record),
        borders=borders(record),
        stages=stages(record),
        evaluation=evaluation(record),
        settings=json.dumps(record.settings, indent=1, sort_keys=True, ensure_ascii=False),
        provenance=provenance(run),
    )


def joint(record: Record) -> bool:
    """Whether one stage was made to learn all of the record's tasks."""
    return record.boundaries is None and is_joint(
        [task.name for task in record.tasks], [stage.task for stage in record.stages]
    )


def on_dev(run: Run) -> bool:
    """Whether a run was scored on dev rows."""
    return setting(run.record.settings, "evaluate", "split") == "dev"


def setting(settings: dict[str, Any], section: str, name: str) -> str:
    """Return a resolved setting as text, "" where the record has none."""
    part = settings.get(section)
    return str(part[name]) if isinstance(part, dict) and name in part else ""


def short(record: Record) -> str:
    """Say in a few words how a run ended: "72.5 %, 8.8 points forgotten"."""
    average, forgetting = record.metrics.average, record.metrics.forgetting
    if average is None:
        return "not finished"
    told = f"{format.percent(average)} %"
    if forgetting is None:
        return told
    return f"{told}, {format.points(forgetting).removeprefix('+')} points forgotten"


def facts(run: Run) -> tuple[str, ...]:
    """Return what must be known to read a run's figures, a few words each."""
    record = run.record
    model = record.model.name + (f" ({record.model.family})" if record.model.family else "")
    form = setting(record.settings, "stream", "form")
    prefix = setting(record.settings, "stream", "prefix")
    return tuple(
        fact
        for fact in (
            f"method {record.method}",
            f"model {model}",
            f"seed {record.seed}",
            f"prompt {form}" if form else "",
            f"task prefix {prefix}" if prefix else "",
            "borders found, not told" if record.boundaries else "",
            "scored on dev rows" if on_dev(run) else "",
            f"finished {run.measured.finished[:10]}" if run.measured.finished else "",
        )
        if fact
    )


def metrics(record: Record) -> tuple[tuple[str, str, str], ...]:
    """Return each metric's name, value and meaning."""
    found = record.metrics
    values = {
        "average": found.average,
        "micro_average": found.micro_average,
        "forgetting": found.forgetting,
        "bwt": found.bwt,
        "fwt": found.fwt,
        "learning_accuracy": found.learning_accuracy,
    }
    shown: list[tuple[str, str, str]] = []
    for key, title, meaning in METRICS:
        value = values[key]
        if key in SIGNED:
            text = format.points(value)
        elif key == "forgetting":
            text = format.points(value).removeprefix("+")
        else:
            text = format.percent(value) + (" %" if value is not None else "")
        shown.append((title, text, meaning))
    return tuple(shown)


def borders(record: Record) -> Sheet | None:
    """Return how the borders that were found compare with the true ones."""
    found = record.boundaries
    if found is None:
        return None
    rows = [(record.tasks[0].name, "0", format.MISSING, str(found.first[0]), str(found.learned[0]))]
    for task, at, delay, first, learned in zip(
        record.tasks[1:], found.true, found.delays, found.first[1:], found.learned[1:], strict=True
    ):
        late = "missed" if delay is None else f"{delay:,}"
        rows.append((task.name, f"{at:,}", late, str(first), str(learned)))
    caught = sum(delay is not None for delay in found.delays)
    return Sheet(
        heading="Borders",
        columns=("task", "first row", "found after, rows", "first stage", "learned in stage"),
        rows=rows,
        remarks=(
            f"{caught} of {len(found.true)} borders found; false alarms: {found.false_alarms};"
            f" stages: {len(found.found) + 1}.",
            FOUND,
        ),
    )


def stages(record: Record) -> Sheet:
    """Return what each stage of learning did."""
    return Sheet(
        heading="Stages",
        columns=(
            *("stage", "rows", "steps", "tokens", "trained parameters", "stored parameters"),
            *("loss, first tenth", "loss, last tenth"),
        ),
        rows=tuple(
            (
                stage.task,
                f"{stage.rows:,}",
                f"{stage.steps:,}",
                format.count(stage.tokens),
                format.count(stage.trainable_parameters),
                format.count(stage.stored_parameters),
                f"{stage.losses[0]:.3f}" if stage.losses else format.MISSING,
                f"{stage.losses[-1]:.3f}" if stage.losses else format.MISSING,
            )
            for stage in record.stages
        ),
        remarks=tuple(f"{stage.task}: {line}" for stage in record.stages for line in stage.remarks),
    )


def general(record: Record) -> Sheet | None:
    """Return what learning did to texts and questions of no task; None where nobody looked."""
    if not record.general:
        return None
    routed = record.general[-1].rejected is not None
    columns = ("moment", "loss per token, nats", "questions right", "questions begun right")
    return Sheet(
        heading="General ability",
        columns=(*columns, "sent to the base model, %") if routed else columns,
        rows=tuple(
            (
                moment,
                format.nats(each.loss),
                f"{each.right} of {each.questions}",
                f"{each.begun} of {each.questions}",
                *((format.percent(each.rejected),) if routed else ()),
            )
            for moment, each in zip(("before learning", "at the end"), record.general, strict=True)
        ),
        remarks=(),
    )


def evaluation(record: Record) -> Sheet:
    """Return how the rows of each evaluation were decided."""
    return Sheet(
        heading="Evaluation",
        columns=("moment", "hit", "miss", "undecided", "small margin"),
        rows=tuple(
            (
                moment(record, counts),
                f"{counts.hit:,}",
                f"{counts.miss:,}",
                f"{counts.undecided:,}",
                f"{counts.low_margin:,}",
            )
            for counts in record.evaluation
        ),
        remarks=(EVALUATED,),
    )


def moment(record: Record, counts: Evaluated) -> str:
    """Say when an evaluation took place."""
    if counts.after < 0:
        return "before learning"
    names = ["all tasks"] if joint(record) else [task.name for task in record.tasks]
    name = name_of(counts.after + 1, names, record.boundaries and record.boundaries.course)
    return f"{name} enters" if counts.phase == "entered" else f"after {name}"
