"""The paper's figures 3 and 4, accuracy over the stages, and how often scores pick the right LoRA.

Figure 3 is each task's accuracy as later tasks arrive. "Without" is, in the paper's words,
"learning a separate LoRA for each task, freezing the previous LoRA parameters when learning the
LoRA for a new task" (section 4.6): the method `inc_lora`. The last task is not shown, since nothing
arrives after it. Figure 4 shows one text in the paper; here it is the mean over the texts that a
run measures at its end, and over seeds. Of N LoRAs chance picks the right one in 1 / N of the rows.

`with_` and `without` are a line's label, or the name or method of runs; see `studies.chosen`.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pandas import DataFrame, concat

from amlora.errors import InputError
from amlora.printable import one_line
from amlora.report.compare import seeds_text, unequal_seeds
from amlora.report.format import MISSING, percent, spread
from amlora.report.matrix import course_of
from amlora.report.studies import Study, chosen
from amlora.report.style import HEAT, LEVEL, LEVEL_LOOK, PAPER, Drawing, Panel, line_look
from amlora.report.write import Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WITH, WITHOUT = "am_lora", "inc_lora"
CELL = 0.155  # inches, of a score in figure 4
LONGEST = 16  # letters of a LoRA's name
MOST_LINES = 14  # of accuracy on the page; of more, one a method


def figure_3(study: Study, *, with_: str = WITH, without: str = WITHOUT) -> list[Drawing]:
    """Draw each task's accuracy as later tasks arrive; [] where one of the two sides has no run."""
    first, second = chosen(study.runs, with_), chosen(study.runs, without)
    second = second[~second["run"].isin(first["run"])]
    if first.empty or second.empty or len(study.tasks) < 2:
        return []
    sides = concat([first.assign(kind="with"), second.assign(kind="without")])
    each = over_stages(study, sides)
    each = each[(each["after"] >= each["learned"]) & (each["task"] != study.tasks[-1])]
    kinds = sides.set_index("label")["kind"].to_dict()
    seeds = sides.groupby("label", sort=False)["seed"].agg(list).to_dict()
    deviation = "±, and the bars: standard deviation over seeds."
    notes = [
        "Per cent of the task's test rows, from its own stage on; the last task is not shown,"
        " because nothing arrives after it.",
        *[deviation] * bool(each["sd"].notna().any()),
        *unequal_seeds(seeds),
    ]
    each = each.assign(kind=each["line"].map(kinds), seeds=each["line"].map(seeds))
    columns = ["task", "learned", "kind", "line", "seeds", "after", "accuracy", "sd"]
    return [
        Drawing(
            sheet=Sheet(
                title=f"Figure 3: accuracy as later tasks arrive, with {with_} and without"
                f" ({without})",
                about=[study.about(seeds_text(sides["seed"]))],
                values=study.named(each[columns]),
                shown=by_stage(each, ["task", "kind", "line"], "", "after {}".format),
                words=("task", "kind", "line"),
                notes=notes,
            ),
            panels=task_panels(
                each.drop(columns="learned"), study.tasks[:-1], (1, len(study.tasks)), (3.2, 1.95)
            ),
            legend={f"{kinds[line]}: {line}": line_look(place) for place, line in enumerate(kinds)},
        )
    ]


def task_curves(study: Study) -> Drawing:
    """Draw each task's accuracy from the first moment that was measured on, a line a method.

    Too many lines are cut down to one a method, that of its name if there is one.
    """
    each = over_stages(study, study.runs)
    lines = each[["line", "method"]].drop_duplicates()
    if len(lines) > MOST_LINES:
        own = lines.assign(other=lines["line"] != lines["method"])
        own = own.sort_values("other", kind="stable").drop_duplicates("method")
        lines = own.sort_index().head(MOST_LINES)
    drawn = each[each["line"].isin(lines["line"])]
    drawn = drawn.assign(place=drawn["line"].map([*lines["line"]].index))
    left = [line for line in each["line"].unique() if line not in {*lines["line"]}]
    found = any(run.record.boundaries for run in study.stored.values())
    last = int(each["after"].max())
    names = [f"stage {stage}" for stage in range(1, last + 1)] if found else study.tasks
    after = ["before", *(f"after {name}" for name in names)]
    looks = {line: line_look(place) for place, line in enumerate(lines["line"])}
    for line in {*drawn.loc[drawn["joint"], "line"]}:
        looks[line] |= {"linestyle": LEVEL, "marker": ""}
    return Drawing(
        sheet=Sheet(
            title="Each task over the stages",
            values=each,
            shown=by_stage(each, ["task", "line"], MISSING, after.__getitem__),
            words=("task", "line"),
            notes=[f"In the table alone: {', '.join(left)}."] if left else [],
        ),
        panels=task_panels(drawn, study.tasks, (int(each["after"].min()), last), (2.6, 1.8)),
        legend={
            line if look["marker"] else f"{line} (level: all tasks at once)": look
            for line, look in looks.items()
        },
    )


def over_stages(study: Study, runs: DataFrame) -> DataFrame:
    """Return accuracy after each stage, the mean over the seeds of each line, task by task.

    Columns: place (of the line among all), line, method, task, learned (the stage, from 1), joint
    (one stage learned all: what it left stands after the last), after, accuracy, sd.
    """
    courses = {run: course_of(study.stored[run].record) for run in runs["run"]}
    last = max([c.stages for c in courses.values() if c] or [len(study.tasks)])
    found = runs[["run", "label", "method"]].merge(study.scores, on="run")
    found["line"] = found["label"]
    found["place"] = found["line"].map([*runs["label"].unique()].index)
    found["at"], found["after"] = found["task"].map(study.tasks.index), found["stage"] + 1
    found["joint"] = [courses[run] is None for run in found["run"]]
    found["learned"] = [
        course.learned[at] if (course := courses[run]) else last
        for run, at in zip(found["run"], found["at"], strict=True)
    ]
    found.loc[found["joint"] & (found["after"] > 0), "after"] = last
    keys = ["at", "place", "line", "method", "task", "learned", "joint", "after"]
    return found.groupby(keys)["score"].agg(accuracy="mean", sd="std").reset_index()


def by_stage(
    each: DataFrame, names: Sequence[str], empty: str, heading: Callable[[int], str]
) -> DataFrame:
    """Return accuracy as text, a row for each task and line, a column for each stage."""
    text = each.assign(text=list(map(spread, each["accuracy"], each["sd"])))
    table = text.pivot(index=["at", "place", *names], columns="after", values="text")
    table = table.fillna(empty).droplevel(["at", "place"])
    return table.set_axis([heading(after) for after in table], axis=1).reset_index()


def task_panels(
    each: DataFrame, tasks: Sequence[str], ends: tuple[int, int], size: tuple[float, float]
) -> tuple[Panel, ...]:
    """Return a panel for each task: accuracy against the number of tasks learned."""
    return tuple(
        Panel(
            title=task,
            label=f"Accuracy on {task}, per cent, after each stage",
            paint=lines_over(
                each[each["task"] == task], "after", "accuracy", ends, "tasks learned"
            ),
            size=size,
        )
        for task in tasks
    )


def lines_over(
    each: DataFrame, x: str, y: str, ends: tuple[int, int], below: str, level: float | None = None
) -> Callable[["Axes"], None]:
    """Return what paints lines, a look for each `place`, from 0 to 100 %.

    Args:
        each: `place`, x, y, and, where there are any, `sd`, whose bars are drawn, `learned`, the
            only place on x that has a mark, and `joint`, of a line that is a level.
        x: a column of whole numbers.
        y: a column of fractions.
        ends: the first and the last number on the x axis.
        below: names the x axis.
        level: a fraction, where a level is drawn.
    """

    def paint(axes: "Axes") -> None:
        for place, line in each.groupby("place"):
            at, look, height = line[x].astype(int), line_look(int(str(place))), 100 * line[y]
            if "joint" in line and line["joint"].any():
                axes.axhline(height.iloc[-1], color=look["color"], linestyle=LEVEL)
                continue
            marked = at == line["learned"] if "learned" in line else at == at
            axes.plot(at, height, **look, markevery=marked.to_numpy().nonzero()[0].tolist())
            if "sd" in line:
                low, high = height - 100 * line["sd"].fillna(0), height + 100 * line["sd"].fillna(0)
                axes.vlines(at, low.clip(0), high.clip(upper=100), color=look["color"], lw=1.2)
        if level is not None:
            axes.axhline(100 * level, **LEVEL_LOOK)
        axes.set_xlim(ends[0] - 0.3, ends[1] + 0.3)
        axes.set_xticks(range(ends[0], ends[1] + 1, max(1, -(-(ends[1] - ends[0] + 1) // 10))))
        axes.set_xlabel(below)
        axes.set_ylim(0, 100)
        axes.set_yticks([0, 25, 50, 75, 100], ["0", "", "50", "", "100"])
        axes.grid(visible=False, axis="x")

    return paint


def figure_4(study: Study, *, with_: str = WITH, task: str | None = None) -> list[Drawing]:
    """Draw each LoRA's mean score by layer, task (None: all) and projection, each line by itself.

    Raises:
        InputError: seeds of a line have other modules.
    """
    made: list[Drawing] = []
    keys = ["task", "projection", "layer", "lora"]
    lines = chosen(study.runs, with_)[["run", "label", "seed"]].merge(study.attention, on="run")
    for label, line in lines.groupby("label", sort=False):
        each = over_seeds(line, keys, "score")
        each = each if task is None else each[each["task"] == task]
        if each.empty:
            continue
        seeds = line["seed"].unique().tolist()
        panels, top = heat_panels(each)
        told = each.set_index(keys)["score"].unstack("lora", sort=False).map(percent).reset_index()
        values = each.assign(line=label, seeds=[seeds] * len(each))
        made.append(
            Drawing(
                sheet=Sheet(
                    title="Figure 4: attention scores by layer",
                    about=[study.about(f"{label}, {seeds_text(seeds)}")],
                    values=study.named(values[["line", "seeds", *keys, "score"]]),
                    shown=told.assign(layer=told["layer"].astype(str)),
                    words=("task", "projection"),
                    notes=[
                        "Mean score, per cent, over the tokens of a task's test rows; in full"
                        f" colour {percent(top)} %. LoRA none: the zero LoRA. Bold: the task's own"
                        " LoRA."
                    ],
                ),
                panels=panels,
                columns=min(2, each["projection"].nunique()),
            )
        )
    return made


def heat_panels(
    each: DataFrame, tasks: Sequence[str] | None = None
) -> tuple[tuple[Panel, ...], float]:
    """Return a panel for each task and projection, and the score in full colour.

    Args:
        each: `task`, `projection`, `layer`, `lora`, `score`.
        tasks: these alone; None for all.
    """
    top = float(each["score"].max()) or 1.0
    panels = [
        Panel(
            title=f"{task}, {kind}",
            label=f"Mean attention scores on {task}, {kind}: LoRAs by layer",
            paint=heat(scores, own=str(task), top=top),
            size=(
                0.3 + 0.08 * min(LONGEST, max(map(len, scores))) + CELL * len(scores),
                0.6 + CELL * scores.shape[1],
            ),
        )
        for (task, kind), part in each.groupby(["task", "projection"], sort=False)
        if tasks is None or task in tasks
        for scores in [
            part.pivot(index="layer", columns="lora", values="score")[part["lora"].unique()]
        ]
    ]
    return tuple(panels), top


def heat(scores: DataFrame, *, own: str, top: float) -> Callable[["Axes"], None]:
    """Return what paints the mean score of each LoRA (rows) in each layer (columns).

    Args:
        scores: a row a layer, a column a LoRA, the zero LoRA first.
        own: the LoRA whose name is bold.
        top: the score in full colour.
    """
    names = [one_line(n if len(n) <= LONGEST else f"{n[: LONGEST - 1]}…") for n in scores]

    def paint(axes: "Axes") -> None:
        import numpy as np

        shades = np.empty((len(names), len(scores), 4))
        shades[..., :3] = [int(HEAT[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        shades[..., 3] = (scores.to_numpy().T / top).clip(0, 1).round(3)
        axes.pcolormesh(shades, edgecolors=PAPER, linewidth=1.2)
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.invert_yaxis()
        every = 1 if len(scores) <= 12 else 5
        axes.set_xticks(np.arange(0, len(scores), every) + 0.5, [*scores.index[::every]])
        axes.set_xlabel("layer")
        axes.set_yticks(np.arange(len(names)) + 0.5, names)
        for name, tick in zip(scores, axes.get_yticklabels(), strict=True):
            tick.set_fontweight("bold" if name == own else "normal")

    return paint


def over_seeds(line: DataFrame, keys: Sequence[str], value: str) -> DataFrame:
    """Return the mean over the seeds of one line, in the order of the first.

    Raises:
        InputError: seeds with other modules, LoRAs or tasks.
    """
    parts = {run: part.set_index([*keys]).index for run, part in line.groupby("run", sort=False)}
    first = next(iter(parts))
    for run, index in parts.items():
        if not index.equals(parts[first]):
            raise InputError(
                f"{run}: its attention.json has other modules, LoRAs or tasks than that of"
                f" {first}, of which it is another seed."
            )
    return line.groupby([*keys], sort=False)[value].mean().reset_index()


def picks(study: Study) -> list[Drawing]:
    """Draw how often scores pick the task's own LoRA; [] where no line could pick among LoRAs.

    Raises:
        InputError: seeds of a line have other modules.
    """
    known = study.modules.dropna(subset="picked")
    found = study.runs[["run", "label", "seed"]].merge(known, on="run")
    count = study.attention.groupby("run")["lora"].nunique().max() - 1
    if found.empty or count < 2:
        return []
    rates: list[DataFrame] = []
    for label, line in found.groupby("label", sort=False):
        # Each run's mean over the tasks that have a LoRA of their own, then over seeds.
        of_run = line.groupby(["run", "projection", "layer"], sort=False)["picked"].mean()
        each = over_seeds(of_run.reset_index(name="rate"), ["projection", "layer"], "rate")
        whole = DataFrame([{"projection": "all", "rate": each["rate"].mean()}])
        means = each.groupby("projection", sort=False)["rate"].mean().reset_index()
        rows = concat([whole, means, each])
        seeds = [line["seed"].unique().tolist()] * len(rows)
        rates.append(rows.assign(line=label, place=len(rates), seeds=seeds))
    each = concat(rates, ignore_index=True).assign(chance=1 / count)
    each["layer"] = each["layer"].astype("Int64")
    chance = f"{percent(1 / count)} %"
    notes = [
        "Share of rows, per cent, in which the task's own LoRA has the largest mean score of all"
        f" LoRAs; mean over tasks. Chance: {chance}."
    ]
    if study.fixed:
        notes.append(f"Left out, since their LoRAs have no scores to pick with: {study.fixed}.")
    by_layer = each.dropna(subset="layer")
    ends = int(by_layer["layer"].min()), int(by_layer["layer"].max())
    shown = {
        name: each[name].astype("string").fillna("all") for name in ("line", "projection", "layer")
    }
    lines = {str(line): line_look(place) for place, line in enumerate(each["line"].unique())}
    return [
        Drawing(
            sheet=Sheet(
                title="How often scores pick the task's own LoRA",
                about=[study.about(seeds_text(found["seed"]))],
                values=study.named(
                    each[["line", "seeds", "chance", "projection", "layer", "rate"]]
                ),
                shown=DataFrame({**shown, "right picks, %": each["rate"].map(percent)}),
                words=("line", "projection"),
                notes=notes,
            ),
            panels=tuple(
                Panel(
                    title=str(projection),
                    label=f"Rate of right picks by layer, per cent, {projection}",
                    paint=lines_over(lines_, "layer", "rate", ends, "layer", level=1 / count),
                    size=(3.9, 2.1),
                )
                for projection, lines_ in by_layer.groupby("projection", sort=False)
            ),
            columns=2,
            legend={**lines, f"chance, {chance}": LEVEL_LOOK},
        )
    ]
