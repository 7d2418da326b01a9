"""The attention of one run on the page: means per task and LoRA, how sparse, and drawings."""

from collections.abc import Sequence
from dataclasses import dataclass

from amlora.records.beside import Attention
from amlora.report import figures
from amlora.report.panel import Panel

DRAWN_TASKS = 6  # at most per run; the rest stays in attention.json


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
    """Tasks without drawings, where others have some."""

    @property
    def drawn(self) -> bool:
        """Whether there is a drawing."""
        return any(task.panels for task in self.tasks)


def attention_view(attention: Attention, salt: str, *, draw: bool) -> AttentionView:
    """Summarise the attention of every task.

    Args:
        attention: of a run.
        salt: differs between the runs of a page.
        draw: whether to draw it by layer, for at most `DRAWN_TASKS` tasks.
    """
    groups = figures.projections(attention.modules)
    top = max(score for task in attention.mean for module in task for score in module) or 1.0
    drawn = spread(len(attention.tasks)) if draw else set[int]()
    tasks: list[TaskAttention] = []
    for index, task in enumerate(attention.tasks):
        modules = attention.mean[index]
        panels = [
            task_panel(attention, index, projection, top, f"{salt}-{index}-{group}")
            for group, projection in enumerate(groups if index in drawn else ())
        ]
        tasks.append(
            TaskAttention(
                task=task,
                means=tuple(mean(column) for column in zip(*modules, strict=True)),
                top90=mean(attention.top90[index]),
                effective=mean(attention.effective[index]),
                panels=tuple(panels),
            )
        )
    left_out = len(attention.tasks) - len(drawn) if draw else 0
    return AttentionView(loras=attention.loras, tasks=tuple(tasks), top=top, left_out=left_out)


def spread(count: int) -> set[int]:
    """Return which of some tasks are drawn: all, or as many as may be from first to last."""
    if count <= DRAWN_TASKS:
        return set(range(count))
    return {round(k * (count - 1) / (DRAWN_TASKS - 1)) for k in range(DRAWN_TASKS)}


def task_panel(
    attention: Attention, index: int, projection: figures.Projection, top: float, salt: str
) -> Panel:
    """Draw one task's scores in the modules of one kind."""
    from markupsafe import Markup

    task, modules = attention.tasks[index], attention.mean[index]
    svg = figures.attention(
        [modules[at] for at in projection.places],
        projection.layers,
        attention.loras,
        top=top,
        own=task,
        salt=f"attention-{salt}",
        label=f"Mean attention on {task}, {projection.title}: LoRAs by layer",
    )
    return Panel(title=projection.title, svg=Markup(svg))


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; an attention file has at least one module."""
    return sum(values) / len(values)
