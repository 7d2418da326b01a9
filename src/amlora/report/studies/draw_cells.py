"""The drawings of figure 5 (four schemes) and of the L1 sweep: points with intervals."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from amlora.report.format import percent
from amlora.report.methods_table import Figure
from amlora.report.paper_lines import Cell
from amlora.report.paper_render import number, shown
from amlora.report.studies import axes as look
from amlora.report.studies.cells import (
    Bar,
    bar,
    brackets,
    cell_values,
    few_ticks,
    keys,
    limits,
    rate_text,
    repeated,
    without_interval,
)
from amlora.report.studies.draw_curves import spread
from amlora.report.studies.figure_5 import Figure5, Scheme
from amlora.report.studies.groups import seeds_text
from amlora.report.studies.sparsity import Sweep
from amlora.report.studies.study import Palette, Panel, Study, rows_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCHEME = {"wide": 2.1, "high": 1.15, "left": 0.85, "right": 0.5, "above": 0.08, "below": 0.42}
WEIGHTS = {"wide": 2.9, "high": 1.6, "left": 0.45, "right": 0.2, "above": 0.1, "below": 0.45}


def study_5(figure: Figure5) -> Study:
    """Draw figure 5: a panel for each measure, the four schemes below one another."""
    measures: tuple[tuple[str, Callable[[Scheme], Cell | None]], ...] = (
        ("average, %", lambda scheme: scheme.average),
        ("forgetting, points", lambda scheme: scheme.forgetting),
        ("learning accuracy, %", lambda scheme: scheme.learning_accuracy),
    )
    cells = [take(scheme) for scheme in figure.schemes for _, take in measures]
    weight = f"{figure.sparsity} ({figure.form})" if figure.sparsity else "without a run"
    notes = [
        f"NR: only the new task's selector is trained; AR: all of them; L1: sparsity {weight}.",
        *brackets(cells),
        *without_interval(cells),
    ]
    if figure.missing:
        notes.append(f"No run: {', '.join(figure.missing)}.")
    if len({scheme.rate for scheme in figure.schemes if scheme.seeds}) > 1:
        notes.append("The schemes were not all run at the same learning rate.")
    return Study(
        title="Figure 5: new or all selectors, with and without L1",
        subject=figure.subject,
        about=seeds_text(sorted({seed for each in figure.schemes for seed in each.seeds})),
        panels=tuple(
            schemes_panel(title, [(scheme.name, take(scheme)) for scheme in figure.schemes])
            for title, take in measures
        ),
        columns=3,
        legend=tuple(keys(cells)),
        headings=("scheme", "runs", *(title for title, _ in measures), "learning rate", "seeds"),
        rows=rows_of(
            [
                scheme.name,
                scheme.runs or "no run",
                *(shown(take(scheme)) for _, take in measures),
                rate_text(scheme.rate),
                ", ".join(map(str, scheme.seeds)),
            ]
            for scheme in figure.schemes
        ),
        words=2,
        values=tuple(
            {
                "scheme": scheme.name,
                "selectors": scheme.selectors,
                "sparsity": figure.sparsity if scheme.penalised else "0",
                "sparsity_form": figure.form if scheme.penalised else "",
                "runs": scheme.runs,
                "seeds": " ".join(map(str, scheme.seeds)),
                "learning_rate": scheme.rate,
                **cell_values("average", scheme.average),
                **cell_values("forgetting", scheme.forgetting),
                **cell_values("learning_accuracy", scheme.learning_accuracy),
            }
            for scheme in figure.schemes
        ),
        notes=(*notes, *repeated(figure.repeated)),
        table_only=tuple(brackets(cells)),
    )


def schemes_panel(title: str, cells: Sequence[tuple[str, Cell | None]]) -> Panel:
    """Draw one measure: a row for each scheme, its number at the right."""

    def paint(axes: "Axes", palette: Palette) -> None:
        look.plain_axes(axes, palette, grid="x", below="")
        colour, _, mark = look.line_style(palette, 0)
        low, high = limits([bar(cell) for _, cell in cells if cell])
        axes.set_xlim(low, high)
        for y, (_, cell) in enumerate(cells):
            if cell is None:
                text = "no value"
            else:
                one = bar(cell)
                axes.plot([one.low, one.high], [y, y], color=colour, lw=look.BAR, ls=one.dashes)
                axes.plot([one.value], [y], mark, color=colour, ms=look.MARK + 1, mew=0)
                text = number(cell.value)
            axes.annotate(
                text, (1, y), (6, 0), ("axes fraction", "data"), "offset points",
                fontsize=10, color=palette.soft, va="center",
            )  # fmt: skip
        axes.set_ylim(len(cells) - 0.5, -0.5)
        axes.set_yticks(range(len(cells)), [name for name, _ in cells])
        few_ticks(axes, "x")

    return Panel(
        title=title,
        label=f"Figure 5, {title}, of NR, NR + L1, AR and AR + L1",
        paint=paint,
        **SCHEME,
    )


def study_sparsity(sweep: Sweep) -> Study:
    """Draw the sweep: accuracy above, sparsity of the scores below."""
    points = sweep.points
    seeds = sorted({seed for point in points for seed in point.seeds})
    measures = (
        ("average, %", [point.average and bar(point.average) for point in points]),
        ("forgetting, points", [point.forgetting and bar(point.forgetting) for point in points]),
        ("tokens with a score above 0.9, %", [deviation(point.sharp, 100) for point in points]),
        ("LoRAs in effect", [deviation(point.effective, 1) for point in points]),
    )
    names = [f"{point.sparsity:g}" for point in points]
    cells = [cell for point in points for cell in (point.average, point.forgetting)]
    limit = "unknown" if sweep.most is None else str(sweep.most)
    notes = [
        "LoRAs in effect: exp(entropy) of a token's scores, mean over tokens, tasks and modules;"
        f" at most N + 1 = {limit}, which equal scores give.",
        *brackets(cells),
        *without_interval(cells),
    ]
    if any(point.sharp and point.sharp.sd is not None for point in points):
        notes.append("±, and the bars of the last two: standard deviation over seeds.")
    if len({point.rate for point in points}) > 1:
        notes.append("The weights were not all run at the same learning rate.")
    form = "in the loss" if sweep.form == "loss" else "as a soft threshold (proximal)"
    return Study(
        title=f"Sweep of the weight of L1, {form}",
        subject=sweep.subject,
        about=f"selectors {sweep.selectors}, {seeds_text(seeds)}",
        panels=tuple(
            weights_panel(title, names, found, sweep.most if "effect" in title else None)
            for title, found in measures
        ),
        columns=2,
        legend=(
            *keys(cells),
            *([] if sweep.most is None else [look.level_key(f"N + 1 = {sweep.most}")]),
        ),
        headings=("weight", "runs", *(title for title, _ in measures), "learning rate", "seeds"),
        rows=rows_of(
            [
                name,
                point.runs,
                shown(point.average),
                shown(point.forgetting),
                spread(point.sharp),
                count_text(point.effective),
                rate_text(point.rate),
                ", ".join(map(str, point.seeds)),
            ]
            for name, point in zip(names, points, strict=True)
        ),
        words=2,
        values=tuple(
            {
                "sparsity": point.sparsity,
                "sparsity_form": sweep.form,
                "selectors": sweep.selectors,
                "runs": point.runs,
                "seeds": " ".join(map(str, point.seeds)),
                "learning_rate": point.rate,
                **cell_values("average", point.average),
                **cell_values("forgetting", point.forgetting),
                "above_0.9": point.sharp and point.sharp.mean,
                "above_0.9_sd": point.sharp and point.sharp.sd,
                "effective": point.effective and point.effective.mean,
                "effective_sd": point.effective and point.effective.sd,
                "most": sweep.most,
            }
            for point in points
        ),
        notes=(*notes, *repeated(sweep.repeated)),
        table_only=tuple(brackets(cells)),
    )


def deviation(value: Figure | None, unit: float) -> Bar | None:
    """Return a mean and the ends of one standard deviation on either side."""
    if value is None:
        return None
    mean, sd = unit * value.mean, unit * (value.sd or 0.0)
    return Bar(mean, mean - sd, mean + sd)


def count_text(value: Figure | None) -> str:
    """Show a number of LoRAs with its deviation over seeds."""
    if value is None:
        return percent(None)
    return f"{value.mean:.2f}" + (f" ± {value.sd:.2f}" if value.sd is not None else "")


def weights_panel(
    title: str, names: Sequence[str], found: Sequence[Bar | None], most: int | None
) -> Panel:
    """Draw one measure against the weights, which stand at equal distances."""

    def paint(axes: "Axes", palette: Palette) -> None:
        look.plain_axes(axes, palette, grid="y", below="weight of L1")
        colour, _, mark = look.line_style(palette, 0)
        known = [(x, one) for x, one in enumerate(found) if one is not None]
        x, y = [x for x, _ in known], [one.value for _, one in known]
        axes.plot(x, y, color=colour, lw=look.WIDTH, solid_joinstyle="round")
        axes.plot(x, y, mark, color=colour, ms=look.MARK, mew=0)
        for place, one in known:
            ends = [one.low, one.high]
            axes.plot([place, place], ends, color=colour, lw=look.BAR, ls=one.dashes)
        low, high = limits([one for _, one in known])
        if "above" in title:
            low = 0.0
            high = max(high, 5.0)
        if most is not None:
            look.level(axes, palette, most, (-0.3, len(names) - 0.7))
            low, high = 0.0, most * 1.08
        axes.set_ylim(low, high)
        axes.set_xlim(-0.3, len(names) - 0.7)
        axes.set_xticks(range(len(names)), names)
        few_ticks(axes, "y")

    return Panel(title=title, label=f"{title}, by the weight of L1", paint=paint, **WEIGHTS)
