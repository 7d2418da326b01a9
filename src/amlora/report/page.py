"""The report: one HTML file that needs nothing else, from the folders of finished runs.

This file chooses what is shown; `page.html.jinja` says how. Jinja escapes every text, and the only
markup let through are the drawings of `figures`, which escape their own.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amlora.errors import InputError
from amlora.report import figures, format
from amlora.report.matrix import Line, accuracy_lines, entered_lines, is_joint
from amlora.report.read import Attention, Counts, Record, Run, entered_stages, labels, read_run
from amlora.report.tables import HEADINGS, compare, over_seeds, plus_minus

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATE = "page.html.jinja"
ATTENTION_TASKS = 6  # drawn at most per run; the rest stays in attention.json
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A drawing and what stands above it."""

    title: str
    svg: "Markup"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAttention:
    """One task's attention: per LoRA its mean over modules, how sparse it is, and the panels."""

    task: str
    means: tuple[float, ...]
    top90: float
    effective: float
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionView:
    """The attention of one run. `top` is the score drawn in full colour."""

    loras: tuple[str, ...]
    tasks: tuple[TaskAttention, ...]
    top: float
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """Everything the page shows of one run."""

    label: str
    run: Run
    facts: tuple[str, ...]
    lines: list[Line]
    entered: list[Line]
    metrics: tuple[tuple[str, str, str], ...]
    attention: AttentionView | None
    provenance: tuple[tuple[str, str], ...]


def build_page(runs: Sequence[Path]) -> str:
    """Return the report on one or more run folders as a self-contained HTML page.

    The same folders give the same text. Nothing outside the folders is read.

    Raises:
        InputError: no folder, a folder without a readable record.json, the same folder twice, or
            the extra `report` is not installed.
    """
    if not runs:
        raise InputError("a report needs at least one run folder.")
    try:
        import matplotlib  # noqa: F401
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise InputError(
            f"a report needs {error.name}; install it with: pip install 'amlora[report]'."
        ) from None
    read = [read_run(folder) for folder in runs]
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    compared = compare(read)
    return environment.get_template(TEMPLATE).render(
        title=page_title(read),
        headings=HEADINGS,
        compared=compared,
        one_stream=len({line.stream_digest for line in compared}) == 1,
        seeds=[(group, plus_minus(group.mean, group.sd)) for group in over_seeds(read)],
        views=[view(label, run, place) for place, (label, run) in enumerate(named(read))],
        legend=[legend(place, label, run) for place, (label, run) in enumerate(named(read))],
        curves=curve_panels(read),
        text=format,
        settings_text=settings_text,
        moment=moment,
    )


def named(runs: Sequence[Run]) -> list[tuple[str, Run]]:
    """Pair each run with its label."""
    return list(zip(labels(runs), runs, strict=True))


def page_title(runs: Sequence[Run]) -> str:
    """Say what the page is about in a few words."""
    if len(runs) > 1:
        return f"{len(runs)} runs compared"
    count = len(runs[0].record.tasks)
    return f"{runs[0].record.name}: {count} task" + ("s" if count > 1 else "")


def joint(record: Record) -> bool:
    """Whether one stage learned all of the record's tasks."""
    return is_joint([task.name for task in record.tasks], [stage.task for stage in record.stages])


def legend(place: int, label: str, run: Run) -> tuple[str, "Markup", str]:
    """Return a run's label, how its line looks, and a word on it where it is no line of stages."""
    from markupsafe import Markup

    together = joint(run.record)
    sample = figures.sample(place, joint=together, salt=f"legend-{place}", label=f"Line of {label}")
    return label, Markup(sample), "level: all tasks at once" if together else ""


def curve_panels(runs: Sequence[Run]) -> list[Panel]:
    """One panel per task, tasks in the order of the first run that has them."""
    from markupsafe import Markup

    names = list(dict.fromkeys(task.name for run in runs for task in run.record.tasks))
    panels: list[Panel] = []
    for index, name in enumerate(names):
        found: list[figures.Curve] = []
        stages = 1
        for place, run in enumerate(runs):
            columns = [task.name for task in run.record.tasks]
            if name not in columns:
                continue
            column = columns.index(name)
            values = tuple(row[column] for row in run.record.R)
            learned = None if joint(run.record) else column + 1
            found.append(figures.Curve(run=place, values=values, learned=learned))
            stages = max(stages, len(columns))
        svg = figures.curves(
            found, stages, salt=f"curve-{index}", label=f"Accuracy on {name} after each stage"
        )
        panels.append(Panel(title=name, svg=Markup(svg)))
    return panels


def view(label: str, run: Run, place: int) -> RunView:
    """Gather what the page shows of one run."""
    record = run.record
    names = [task.name for task in record.tasks]
    sizes = [task.scored for task in record.tasks]
    entered = entered_lines(names, sizes, record.R, record.entered, entered_stages(record))
    values = {
        "average": record.metrics.average,
        "micro_average": record.metrics.micro_average,
        "forgetting": record.metrics.forgetting,
        "bwt": record.metrics.bwt,
        "fwt": record.metrics.fwt,
        "learning_accuracy": record.metrics.learning_accuracy,
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
    return RunView(
        label=label,
        run=run,
        facts=facts(run),
        lines=accuracy_lines(names, sizes, record.R, joint=joint(record)),
        entered=entered,
        metrics=tuple(shown),
        attention=None if run.attention is None else attention_view(run.attention, place),
        provenance=provenance(run),
    )


def setting(settings: dict[str, Any], section: str, name: str) -> str:
    """Return a resolved setting as text, "" where the record has none."""
    part = settings.get(section)
    return str(part[name]) if isinstance(part, dict) and name in part else ""


def moment(record: Record, counts: Counts) -> str:
    """Say when an evaluation took place."""
    if counts.after < 0:
        return "before learning"
    names = ["all tasks"] if joint(record) else [task.name for task in record.tasks]
    name = names[counts.after]
    return f"{name} enters" if counts.phase == "entered" else f"after {name}"


def settings_text(settings: dict[str, Any]) -> str:
    """Return resolved settings as indented JSON, for a folder without its config.toml."""
    return json.dumps(settings, indent=1, sort_keys=True, ensure_ascii=False)


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
            f"finished {run.measured.finished[:10]}" if run.measured.finished else "",
        )
        if fact
    )


def attention_view(attention: Attention, place: int) -> AttentionView:
    """Summarise the attention of every task and draw it for at most `ATTENTION_TASKS` of them."""
    from markupsafe import Markup

    groups = figures.projections(attention.modules)
    top = max(score for task in attention.mean for module in task for score in module) or 1.0
    count = len(attention.tasks)
    drawn = set(range(count))
    if count > ATTENTION_TASKS:  # spread from the first to the last
        drawn = {round(k * (count - 1) / (ATTENTION_TASKS - 1)) for k in range(ATTENTION_TASKS)}
    tasks: list[TaskAttention] = []
    for index, task in enumerate(attention.tasks):
        modules = attention.mean[index]
        panels: list[Panel] = []
        for group, projection in enumerate(groups if index in drawn else ()):
            svg = figures.attention(
                [modules[at] for at in projection.places],
                projection.layers,
                attention.loras,
                top=top,
                own=task,
                salt=f"attention-{place}-{index}-{group}",
                label=f"Mean attention on {task}, {projection.title}: LoRAs by layer",
            )
            panels.append(Panel(title=projection.title, svg=Markup(svg)))
        tasks.append(
            TaskAttention(
                task=task,
                means=tuple(mean(column) for column in zip(*modules, strict=True)),
                top90=mean(attention.top90[index]),
                effective=mean(attention.effective[index]),
                panels=tuple(panels),
            )
        )
    return AttentionView(
        loras=attention.loras, tasks=tuple(tasks), top=top, left_out=count - len(drawn)
    )


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; an attention file has at least one module."""
    return sum(values) / len(values)


def device_text(device: dict[str, Any]) -> str:
    """Say on what a run was made: accelerators, processor, threads, memory, system."""
    cards = Counter(str(card.get("name")) for card in device.get("accelerators") or [])
    threads, memory = device.get("threads"), device.get("memory_bytes")
    parts = (
        *(f"{number} x {name}" for name, number in cards.items()),
        device.get("cpu"),
        f"{threads} threads" if threads else "",
        f"{format.size(memory)} of memory" if memory else "",
        device.get("platform"),
    )
    return ", ".join(str(part) for part in parts if part)


def provenance(run: Run) -> tuple[tuple[str, str], ...]:
    """Return where a run comes from, as names and values."""
    record, measured = run.record, run.measured
    dirty = " with uncommitted changes" if measured.git.get("dirty") else ""
    commit = measured.git.get("commit")
    speed = measured.tokens_per_second
    rows = (
        ("folder", run.folder.name),
        ("method", f"{record.method}, version {record.method_version}"),
        ("model", f"{record.model.name} {record.model.revision or ''}".strip()),
        ("model parameters", format.count(record.model.parameters)),
        ("fingerprint of the frozen weights", record.model.fingerprint or ""),
        ("digest of settings", record.settings_digest),
        ("digest of the task stream", record.stream_digest),
        ("digest of the rows' decisions", record.rows_digest or ""),
        ("code", f"{commit}{dirty}" if commit else ""),
        ("versions", ", ".join(f"{name} {v}" for name, v in sorted(measured.versions.items()))),
        ("device", device_text(measured.device)),
        (
            "time",
            ", ".join(f"{k} {format.seconds(v)}" for k, v in sorted(measured.seconds.items())),
        ),
        ("training speed", f"{format.count(speed)} tokens per second" if speed else ""),
        ("peak memory", format.size(measured.peak_memory_bytes)),
        ("finished", measured.finished),
    )
    return tuple((name, value) for name, value in rows if value not in ("", format.MISSING))
