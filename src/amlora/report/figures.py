"""The page's drawings: a task's score over the stages, and attention per layer and LoRA.

They take the form of the paper's figures 3 and 4. Every number drawn also stands in a table.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amlora.report.svg import HEAT, LINE, PAPER, SOFT, plain, render, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy import float64
    from numpy.typing import NDArray

DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
CELL = 0.19  # inches, width and height of a score in the attention drawings
LONGEST = 16  # letters of a LoRA's name
LEVEL = (0, (1, 2))  # of a joint run
MARKS = ("o", "s", "^", "D", "v", "P", "X", "p")


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A run's scores on one task: `values[k]` after stage k, fractions; `learned` is its stage.

    A joint run has no stages: `learned` is None and its last value is drawn as a level.
    """

    run: int
    values: tuple[float | None, ...]
    learned: int | None


def style(run: int) -> tuple[str, object, str]:
    """Colour, dashes and mark of the run-th run; they repeat together only after 32 runs."""
    return series(run), DASHES[run // 8 % len(DASHES)], MARKS[run % len(MARKS)]


def curves(curves_: Sequence[Curve], stages: int, *, salt: str, label: str) -> str:
    """Draw one small panel: the score on one task (per cent) against the stage, all runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2, 1.9))
    axes = figure.add_axes((0.12, 0.135, 0.855, 0.80))
    for curve in curves_:
        colour, dashes, mark = style(curve.run)
        known = [(k, 100 * value) for k, value in enumerate(curve.values) if value is not None]
        if not known:
            continue
        if curve.learned is None:
            level = known[-1][1]
            axes.plot([0, stages], [level, level], color=colour, lw=1.6, ls=LEVEL)
            continue
        x, y = zip(*known, strict=True)
        axes.plot(x, y, color=colour, ls=dashes, lw=1.6, solid_joinstyle="round")
        for k, value in known:
            if k == curve.learned:
                axes.plot([k], [value], mark, color=colour, ms=6.5, mew=0)
    axes.set_xlim(0, stages)
    axes.set_ylim(0, 100)
    step = max(1, -(-stages // 8))
    axes.set_xticks(range(0, stages + 1, step))
    axes.set_yticks([0, 25, 50, 75, 100], ["0", "", "50", "", "100"])
    axes.grid(axis="y", color=LINE, lw=0.7)
    bare(axes)
    axes.spines["bottom"].set_visible(True)
    axes.spines["bottom"].set_color(SOFT)
    return render(figure, salt, label)


def sample(run: int, *, joint: bool, salt: str, label: str) -> str:
    """Draw how a run's line and mark look, for the legend."""
    from matplotlib.figure import Figure

    colour, dashes, mark = style(run)
    figure = Figure(figsize=(0.45, 0.16))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.plot([0, 2], [0, 0], color=colour, ls=LEVEL if joint else dashes, lw=1.6)
    if not joint:
        axes.plot([1], [0], mark, color=colour, ms=6.5, mew=0)
    axes.set_xlim(0, 2)
    axes.set_axis_off()
    return render(figure, salt, label)


def bare(axes: "Axes") -> None:
    """Take away frame and ticks and set small labels."""
    axes.tick_params(length=0, labelsize=10, pad=4)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
        spine.set_linewidth(0.7)


@dataclass(frozen=True, slots=True)
class Projection:
    """The modules of one kind: their short title, and per module its layer and its place."""

    title: str
    layers: tuple[int, ...]
    places: tuple[int, ...]


def projections(modules: Sequence[str]) -> list[Projection]:
    """Group module names that differ only in their layer, the first number in the name.

    The title keeps what tells the groups apart: "q_proj", or "decoder EncDecAttention q".
    """
    groups: dict[str, list[tuple[int, int]]] = {}
    for place, module in enumerate(modules):
        found = re.search(r"\.(\d+)\.", module)
        kind = module if found is None else f"{module[: found.start()]}.*.{module[found.end() :]}"
        groups.setdefault(kind, []).append((0 if found is None else int(found[1]), place))
    parts = {kind: [part for part in kind.split(".") if not re.fullmatch(r"\*|\d+", part)]
             for kind in groups}  # fmt: skip
    common = set.intersection(*(set(found) for found in parts.values())) if parts else set()
    titles: dict[str, str] = {}
    for kind, found in parts.items():
        titles[kind] = " ".join(part for part in found if part not in common) or found[-1]
    distinct = len(set(titles.values())) == len(titles)
    result: list[Projection] = []
    for kind, members in groups.items():
        layers, places = zip(*sorted(members), strict=True)
        result.append(Projection(titles[kind] if distinct else kind, layers, places))
    return result


def attention(
    scores: Sequence[Sequence[float]],
    layers: Sequence[int],
    loras: Sequence[str],
    *,
    top: float,
    own: str,
    salt: str,
    label: str,
) -> str:
    """Draw one panel: the mean score of each LoRA (rows, "none" first) in each layer (columns).

    Args:
        scores: (layers, 1 + N) mean attention scores, 0..1.
        layers: numbers of the layers.
        loras: (1 + N) names.
        top: the score that gets the full colour; the same in all panels of a run.
        own: the LoRA of the task that the tokens come from; its row is named in bold.
        salt: see `render`.
        label: see `render`.
    """
    from matplotlib.figure import Figure

    names = short_names(loras)
    # Inches: the names' column grows with the longest name.
    left = 0.14 + 0.085 * max(len(name) for name in names)
    wide, high = CELL * len(layers), CELL * len(loras)
    width, height = left + wide + 0.08, high + 0.3
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left / width, 0.26 / height, wide / width, high / height))
    paint_scores(axes, scores, layers, loras, top=top, own=own, heat=HEAT, paper=PAPER, gap=1.2)
    return render(figure, salt, label)


def short_names(loras: Sequence[str]) -> list[str]:
    """Return names of LoRAs that leave room for the drawing."""
    return [
        plain(name) if len(name) <= LONGEST else plain(name[: LONGEST - 1]) + "…" for name in loras
    ]


def shaded(shares: "NDArray[float64]", heat: str) -> "NDArray[float64]":
    """Return (..., 4) a colour "#rrggbb" in shades: one for each share, 0..1."""
    import numpy as np

    shades = np.empty((*shares.shape, 4))
    shades[..., :3] = [int(heat[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    shades[..., 3] = shares.round(3)
    return shades


def paint_scores(
    axes: "Axes",
    scores: Sequence[Sequence[float]],
    layers: Sequence[int],
    loras: Sequence[str],
    *,
    top: float,
    own: str,
    heat: str,
    paper: str,
    gap: float,
) -> None:
    """Paint scores as cells in shades of a colour.

    Args:
        axes: to paint on.
        scores, layers, loras, top, own: as in `attention`.
        heat: the full colour, "#rrggbb".
        paper: the colour between cells.
        gap: points between cells.
    """
    import numpy as np

    shares = np.minimum(np.array(scores).T / top, 1)
    axes.pcolormesh(shaded(shares, heat), edgecolors=paper, linewidth=gap)
    axes.set_xlim(0, len(layers))
    axes.set_ylim(len(loras), 0)
    every = 1 if len(layers) <= 12 else 5
    shown = [place for place, layer in enumerate(layers) if layer % every == 0]
    axes.set_xticks([place + 0.5 for place in shown], [str(layers[place]) for place in shown])
    ticks = [y + 0.5 for y in range(len(loras))]
    axes.set_yticks(ticks, short_names(loras), parse_math=False)
    bare(axes)
    for name, tick in zip(loras, axes.get_yticklabels(), strict=True):
        tick.set_fontweight("bold" if name == own else "normal")
