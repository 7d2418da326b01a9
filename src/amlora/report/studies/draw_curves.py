"""The drawings of figure 3 (accuracy over stages) and of the rate of right picks (over layers)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from amlora.report.format import MISSING, percent
from amlora.report.methods_table import Figure
from amlora.report.studies import axes as look
from amlora.report.studies.figure_3 import Figure3, Series, TaskSeries
from amlora.report.studies.groups import seeds_text
from amlora.report.studies.picks import Picks
from amlora.report.studies.study import Palette, Panel, Study, Value, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE = {"wide": 2.75, "high": 1.5, "left": 0.4, "right": 0.14, "above": 0.1, "below": 0.45}
LAYERS = {"wide": 3.4, "high": 1.7, "left": 0.4, "right": 0.14, "above": 0.1, "below": 0.45}


def study_3(figure: Figure3) -> Study:
    """Draw figure 3: a panel for each task but the last."""
    stages = len(figure.subject.tasks)
    first = figure.tasks[0]
    words = ("with", "without")
    rows: list[list[str]] = []
    values: list[dict[str, Value]] = []
    for task in figure.tasks:
        for series in task.series:
            shown = [""] * (task.learned - 1) + [spread(value) for value in series.values]
            rows.append([task.task, words[not series.mixed], series.label, *shown])
            values.extend(
                {
                    "task": task.task,
                    "learned": task.learned,
                    "kind": words[not series.mixed],
                    "line": series.label,
                    "seeds": " ".join(map(str, series.seeds)),
                    "after": after,
                    "accuracy": value and value.mean,
                    "sd": value and value.sd,
                }
                for after, value in enumerate(series.values, start=task.learned)
            )
    notes = [
        "Per cent of the task's test rows, from its own stage on; the last task is not shown,"
        " because nothing arrives after it."
    ]
    if any(len(series.seeds) > 1 for series in first.series):
        notes.append("±, and the bars: standard deviation over seeds.")
    if len({series.seeds for series in first.series}) > 1:
        each = "; ".join(f"{one.label} {list(one.seeds)}" for one in first.series)
        notes.append(f"Not all lines have the same seeds: {each}.")
    seeds = sorted({seed for one in first.series for seed in one.seeds})
    return Study(
        title=f"Figure 3: accuracy as later tasks arrive, with {figure.with_} and without"
        f" ({figure.without})",
        subject=figure.subject,
        about=seeds_text(seeds),
        panels=tuple(task_panel(task, stages) for task in figure.tasks),
        columns=3,
        legend=tuple(
            look.line_key(place, label(series)) for place, series in enumerate(first.series)
        ),
        headings=("task", "kind", "line", *(f"after {k}" for k in range(1, stages + 1))),
        rows=rows_of(rows),
        words=3,
        values=tuple(values),
        notes=tuple(notes),
    )


def label(series: Series) -> str:
    """Name a line of figure 3."""
    return f"{'with' if series.mixed else 'without'}: {series.label}"


def spread(value: Figure | None) -> str:
    """Show a fraction in per cent, with its deviation over seeds."""
    if value is None:
        return MISSING
    return percent(value.mean) + (f" ± {percent(value.sd)}" if value.sd is not None else "")


def task_panel(task: TaskSeries, stages: int) -> Panel:
    """Draw one task's accuracy against the number of tasks learned."""

    def paint(axes: "Axes", palette: Palette) -> None:
        look.plain_axes(axes, palette, grid="y", below="tasks learned")
        for place, series in enumerate(task.series):
            colour, dashes, mark = look.line_style(palette, place)
            known = [
                (stage, value)
                for stage, value in enumerate(series.values, start=task.learned)
                if value is not None
            ]
            x = [stage for stage, _ in known]
            y = [100 * value.mean for _, value in known]
            axes.plot(x, y, color=colour, ls=dashes, lw=look.WIDTH, solid_joinstyle="round")
            axes.plot(x, y, mark, color=colour, ms=look.MARK, mew=0)
            for stage, value in known:
                if value.sd is not None:
                    ends = [within(100 * (value.mean + sign * value.sd)) for sign in (-1, 1)]
                    axes.plot([stage, stage], ends, color=colour, lw=look.BAR)
        axes.set_xlim(0.8, stages + 0.2)
        look.number_ticks(axes, 1, stages, 8)
        look.per_cent_axis(axes)

    return Panel(
        title=task.task,
        label=f"Accuracy on {task.task}, per cent, after each later task",
        paint=paint,
        **CURVE,
    )


def within(value: float) -> float:
    """Keep an end of a bar on the axis."""
    return min(max(value, 0.0), 100.0)


def study_picks(found: Picks) -> Study:
    """Draw the rate of right picks, a panel for each projection, without lines of fixed scores."""
    drawn = [line for line in found.lines if not line.fixed]
    titles = list(dict.fromkeys(one.title for line in found.lines for one in line.projections))
    rows: list[list[str]] = []
    values: list[dict[str, Value]] = []
    for line in found.lines:
        common: dict[str, Value] = {
            "line": line.label,
            "seeds": " ".join(map(str, line.seeds)),
            "fixed_scores": "yes" if line.fixed else "no",
            "chance": found.chance,
        }
        rows.append([line.label, "all", "all", percent(line.mean)])
        values.append({**common, "projection": "all", "layer": None, "rate": line.mean})
        for one in line.projections:
            rows.append([line.label, one.title, "all", percent(one.mean)])
            values.append({**common, "projection": one.title, "layer": None, "rate": one.mean})
        for one in () if line.fixed else line.projections:
            for layer, rate in zip(one.layers, one.rates, strict=True):
                rows.append([line.label, one.title, str(layer), percent(rate)])
                values.append({**common, "projection": one.title, "layer": layer, "rate": rate})
    notes = [
        "Share of rows, per cent, in which the task's own LoRA has the largest mean score of all"
        f" LoRAs; mean over tasks. Chance: {percent(found.chance)} %."
    ]
    if fixed := [line.label for line in found.lines if line.fixed]:
        notes.append(
            f"Not drawn, since their scores are fixed and equal and so at chance by definition:"
            f" {', '.join(fixed)}."
        )
    return Study(
        title="How often scores pick the task's own LoRA",
        subject=found.subject,
        about=seeds_text(sorted({seed for line in found.lines for seed in line.seeds})),
        panels=tuple(picks_panel(found, title) for title in titles),
        columns=2,
        legend=(
            *(look.line_key(place, line.label) for place, line in enumerate(drawn)),
            look.level_key(f"chance, {percent(found.chance)} %"),
        ),
        headings=("line", "projection", "layer", "right picks, %"),
        rows=rows_of(rows),
        words=2,
        values=tuple(values),
        notes=tuple(notes),
    )


def picks_panel(found: Picks, title: str) -> Panel:
    """Draw one projection's rates against the layer."""
    drawn = [line for line in found.lines if not line.fixed]

    def paint(axes: "Axes", palette: Palette) -> None:
        look.plain_axes(axes, palette, grid="y", below="layer")
        layers: list[int] = []
        for place, line in enumerate(drawn):
            colour, dashes, mark = look.line_style(palette, place)
            for one in line.projections:
                if one.title != title:
                    continue
                y = [100 * rate for rate in one.rates]
                axes.plot(one.layers, y, color=colour, ls=dashes, lw=look.WIDTH)
                axes.plot(one.layers, y, mark, color=colour, ms=look.MARK - 1, mew=0)
                layers.extend(one.layers)
        first, last = ends(layers)
        look.level(axes, palette, 100 * found.chance, (first - 0.4, last + 0.4))
        axes.set_xlim(first - 0.4, last + 0.4)
        look.number_ticks(axes, first, last, 10)
        look.per_cent_axis(axes)

    return Panel(
        title=title,
        label=f"Rate of right picks by layer, per cent, {title}",
        paint=paint,
        **LAYERS,
    )


def ends(layers: Sequence[int]) -> tuple[int, int]:
    """Return the first and the last layer, 0 and 0 where no line that is drawn has any."""
    return min(layers, default=0), max(layers, default=0)
