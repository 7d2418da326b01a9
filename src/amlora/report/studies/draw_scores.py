"""The drawing of figure 4: a panel for each task and projection, LoRAs by layers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from amlora.report.figures import bare
from amlora.report.format import percent
from amlora.report.studies.figure_4 import Figure4, Scores
from amlora.report.studies.groups import seeds_text
from amlora.report.studies.study import Key, Palette, Panel, Study, Value, rows_of
from amlora.report.svg import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL, SMALL_CELL = 0.19, 0.14  # inches; the small ones from `MANY` LoRAs on
MANY = 10
LONGEST = 16  # letters of a LoRA's name


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
    names = [
        plain(name) if len(name) <= LONGEST else plain(name[: LONGEST - 1]) + "…" for name in loras
    ]

    def paint(axes: "Axes", palette: Palette) -> None:
        import numpy as np

        shades = np.empty((len(loras), len(layers), 4))
        shades[..., :3] = [int(palette.heat[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        shades[..., 3] = np.minimum(np.array(scores).T / top, 1).round(3)
        axes.pcolormesh(shades, edgecolors=palette.paper, linewidth=cell * 6)
        axes.set_xlim(0, len(layers))
        axes.set_ylim(len(loras), 0)
        every = 1 if len(layers) <= 12 else 5
        shown = [place for place, layer in enumerate(layers) if layer % every == 0]
        axes.set_xticks([place + 0.5 for place in shown], [str(layers[place]) for place in shown])
        axes.set_yticks([y + 0.5 for y in range(len(loras))], names, parse_math=False)
        bare(axes)
        axes.tick_params(labelsize=size, labelcolor=palette.soft)
        for name, tick in zip(loras, axes.get_yticklabels(), strict=True):
            tick.set_fontweight("bold" if name == own else "normal")

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
        shades = np.empty((1, steps, 4))
        shades[..., :3] = [int(palette.heat[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        shades[..., 3] = (np.arange(steps) / (steps - 1)).round(3)
        axes.pcolormesh(shades, edgecolors="none", linewidth=0)
        axes.set_xlim(0, steps)
        axes.set_axis_off()

    return Key(label=label, paint=paint)
