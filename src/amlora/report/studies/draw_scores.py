"""The drawing of figure 4: a panel for each task and projection, LoRAs by layers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from amlora.report.figures import paint_scores, shaded, short_names
from amlora.report.format import percent
from amlora.report.studies.figure_4 import Figure4, Scores
from amlora.report.studies.groups import seeds_text
from amlora.report.studies.study import Key, Palette, Panel, Study, Value, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL, SMALL_CELL = 0.19, 0.14  # inches; the small ones from `MANY` LoRAs on
MANY = 10


def study_4(figure: Figure4) -> Study:
    """Draw figure 4."""
    top = figure.top or 1.0
    rows: list[list[str]] = []
    values: list[dict[str, Value]] = []
    panels: list[Panel] = []
    for task in figure.tasks:
        for projection in figure.projections:
            scores = projection.scores[task]
            panels.append(
                scores_panel(
                    f"{task}, {projection.title}",
                    scores,
                    projection.layers,
                    figure.loras,
                    top=top,
                    own=task,
                )
            )
            for layer, found in zip(projection.layers, scores, strict=True):
                rows.append([task, projection.title, str(layer), *map(percent, found)])
                values.extend(
                    {
                        "line": figure.label,
                        "seeds": " ".join(map(str, figure.seeds)),
                        "task": task,
                        "projection": projection.title,
                        "layer": layer,
                        "lora": lora,
                        "score": score,
                    }
                    for lora, score in zip(figure.loras, found, strict=True)
                )
    return Study(
        title="Figure 4: attention scores by layer",
        subject=figure.subject,
        about=f"{figure.label}, {seeds_text(figure.seeds)}",
        panels=tuple(panels),
        columns=min(2, len(figure.projections)),
        legend=(ramp(f"mean score, 0 to {percent(top)} %"),),
        headings=("task", "projection", "layer", *figure.loras),
        rows=rows_of(rows),
        words=2,
        values=tuple(values),
        notes=(
            "Mean score, per cent, over the tokens of a task's test rows. LoRA none: the zero LoRA."
            " Bold: the task's own LoRA.",
        ),
    )


def scores_panel(
    title: str,
    scores: Scores,
    layers: Sequence[int],
    loras: Sequence[str],
    *,
    top: float,
    own: str,
) -> Panel:
    """Draw the mean score of each LoRA (rows, the zero LoRA first) in each layer (columns).

    Args:
        title: task and projection.
        scores: (layers, 1 + N).
        layers: their numbers.
        loras: (1 + N) names.
        top: the score in full colour, the same in all panels of a figure.
        own: the LoRA whose name is bold.
    """
    cell, size = (CELL, 10) if len(loras) < MANY else (SMALL_CELL, 8)
    names = short_names(loras)

    def paint(axes: "Axes", palette: Palette) -> None:
        paint_scores(
            axes,
            scores,
            layers,
            loras,
            top=top,
            own=own,
            heat=palette.heat,
            paper=palette.paper,
            gap=cell * 6,
        )
        axes.tick_params(labelsize=size, labelcolor=palette.soft)

    return Panel(
        title=title,
        label=f"Mean attention scores on {title}: LoRAs by layer",
        wide=cell * len(layers),
        high=cell * len(loras),
        left=0.14 + 0.0085 * size * max(map(len, names)),
        right=0.1,
        above=0.04,
        below=0.26,
        paint=paint,
    )


def ramp(label: str) -> Key:
    """Return the legend's entry that tells what the shades mean."""

    def paint(axes: "Axes", palette: Palette) -> None:
        import numpy as np

        steps = 8
        shades = shaded(np.arange(steps)[None] / (steps - 1), palette.heat)
        axes.pcolormesh(shades, edgecolors="none", linewidth=0)
        axes.set_xlim(0, steps)
        axes.set_axis_off()

    return Key(label=label, paint=paint)
