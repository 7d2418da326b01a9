"""AM-LoRA's figure 5 (which selectors are trained, with and without L1) and the sweep of L1.

NR trains the newest selector alone (`method.selectors = "new"`), AR all of them; L1 is a sparsity
above 0. Runs of one figure are equal in all else, but for names, seeds, what may differ between
machines, and the learning rate, since a grid chooses one for each line; where one set of settings
was run at several rates, each rate is a figure of its own. Scores of the sweep are a softmax's and
never 0, so the share of scores above 0.9 and exp(entropy), the LoRAs in effect, tell what L1 did.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pandas import DataFrame

from amlora import files
from amlora.evaluate.statistics import mean_sd, seed_interval
from amlora.records.alike import across_orders
from amlora.report.compare import OVER, row_interval, seeds_text
from amlora.report.format import MISSING
from amlora.report.methods import bracketed
from amlora.report.paper import rounded
from amlora.report.studies import Study
from amlora.report.style import LEVEL_LOOK, Drawing, Panel, line_look
from amlora.report.write import Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
SCHEMES = {"NR": ("new", False), "NR + L1": ("new", True), "AR": ("all", False),
           "AR + L1": ("all", True)}  # fmt: skip
MEASURES = {  # title, and what a fraction is multiplied by
    "average": ("average, %", 100),
    "forgetting": ("forgetting, points", 100),
    "learning_accuracy": ("learning accuracy, %", 100),
    "above_0.9": ("tokens with a score above 0.9, %", 100),
    "effective": ("LoRAs in effect", 1),
}
DASHES: dict[str | None, Any] = {"rows": (0, (2, 1))}
KEYS = {"seeds": "95 % interval over seeds", "rows": "95 % interval over one run's test rows"}


def figure_5(study: Study) -> list[Drawing]:
    """Draw the four schemes; [] without runs of both kinds of selectors.

    Of several weights of L1 those are shown that have runs in the most schemes. A scheme without a
    run is there without numbers.
    """
    made: list[tuple[int, Drawing]] = []
    for family, repeated in families(study, ("selectors", "sparsity", "sparsity_form")):
        penalised = family[family["penalised"]].drop_duplicates("weight")
        for weight in penalised["weight"].tolist() or [""]:
            rows = [scheme(study, family, weight, name) for name in SCHEMES]
            found = [row for row in rows if row["runs"]]
            if {row["selectors"] for row in found} == {"new", "all"}:
                made.append((len(found), four_schemes(study, rows, repeated)))
    most = max((count for count, _ in made), default=0)
    return [drawing for count, drawing in made if count == most]


def families(study: Study, varying: Sequence[str]) -> Iterator[tuple[DataFrame, int]]:
    """Give AM-LoRA's runs that differ in some settings of the method alone, weakest L1 first.

    Columns: run, seed, name, rate, selectors, sparsity, form, weight (sparsity and form as text),
    penalised. The second value counts runs that repeat another's settings and seed under another
    name; they are left out.
    """
    rows: list[Row] = []
    for key, run in study.stored.items():
        own = run.record.settings.get("method", {})
        if run.record.method != "am_lora" or "sparsity" not in own:
            continue
        shared = across_orders(run.record)
        shared["method"] = {k: v for k, v in shared["method"].items() if k not in varying}
        sparsity, form = own["sparsity"], own.get("sparsity_form", "")
        each = sparsity if isinstance(sparsity, list) else [sparsity]
        rows.append(
            {
                "family": files.digest([str(run.record.method_version), shared]),
                "run": key,
                "seed": run.record.seed,
                "name": run.record.name,
                "rate": run.record.settings.get("train", {}).get("lr", 0.0),
                "selectors": own.get("selectors", ""),
                "sparsity": sparsity,
                "strength": fmean(each),
                "form": form,
                "weight": json.dumps([sparsity, form]),
                "penalised": any(each),
            }
        )
    order = ["strength", "weight", "selectors", "rate", "seed", "name", "run"]
    found = DataFrame(rows, columns=["family", "sparsity", "form", "penalised", *order])
    for _, family in found.sort_values(order).groupby("family"):
        once = family.drop_duplicates(["selectors", "weight", "rate", "seed"])
        several = once.groupby(["selectors", "weight"])["rate"].nunique().max() > 1
        for part in [each for _, each in once.groupby("rate")] if several else [once]:
            yield part, len(family) - len(once)


def scheme(study: Study, family: DataFrame, weight: str, name: str) -> dict[str, Any]:
    """Gather one of the four schemes at one weight of L1, "" for none."""
    selectors, penalised = SCHEMES[name]
    runs = family[(family["selectors"] == selectors) & (family["penalised"] == penalised)]
    # A weight of 0 may be there in both forms of L1, and either is without L1.
    runs = runs[runs["weight"] == (weight if penalised else runs["weight"].min())]
    shown = family[family["weight"] == weight]
    found = zip(shown["sparsity"], shown["form"], strict=True)
    sparsity, form = next(found, (0, "")) if penalised else (0, "")
    several = isinstance(sparsity, list)
    return {
        "scheme": name,
        "selectors": selectors,
        "sparsity": f"{min(sparsity):g} to {max(sparsity):g}, per task"
        if several
        else f"{sparsity:g}",
        "sparsity_form": form,
        **which(runs),
        **measured(study, runs, "average"),
        **measured(study, runs, "forgetting"),
        **measured(study, runs, "learning_accuracy"),
    }


def which(runs: DataFrame) -> dict[str, Any]:
    """Say which runs are in a row."""
    return {
        "runs": ", ".join(runs["name"].unique()),
        "seeds": tuple(runs["seed"].tolist()),
        "learning_rate": None if runs.empty else runs["rate"].iloc[0],
    }


def measured(study: Study, runs: DataFrame, name: str) -> dict[str, Any]:
    """Return a metric over seeds with its 95 % interval where there is one, as fractions.

    The interval is over seeds; for a single run over its test rows, but for forgetting, which
    compares scores of equal rows at several moments. None: undefined, or there is no run.
    """
    stored = [study.stored[run].record for run in runs["run"]]
    values = [getattr(record.metrics, name) for record in stored]
    if not values or None in values:
        return dict.fromkeys([name, f"{name}_low", f"{name}_high", f"{name}_interval"])
    low, high, over = None, None, ""
    if len(values) > 1:
        (low, high), over = seed_interval(values).interval, "seeds"
    elif name != "forgetting":
        R, sizes = stored[0].R, [task.scored for task in stored[0].tasks]
        scores = R[-1] if name == "average" else [row[at] for at, row in enumerate(R[1:])]
        if interval := row_interval(scores, sizes):
            (low, high), over = (end / 100 for end in interval), "rows"
    ends = {f"{name}_low": low, f"{name}_high": high, f"{name}_interval": over}
    return {name: fmean(values), **ends}


def four_schemes(study: Study, rows: Sequence[Row], repeated: int) -> Drawing:
    """Draw figure 5: a panel for each metric."""
    told = next((f"{r['sparsity']} ({r['sparsity_form']})" for r in rows if r["sparsity_form"]), "")
    notes = [
        "NR: only the new task's selector is trained; AR: all of them; L1: sparsity"
        f" {told or 'without a run'}."
    ]
    if missing := [row["scheme"] for row in rows if not row["runs"]]:
        notes.append(f"No run: {', '.join(missing)}.")
    names = {"scheme": [row["scheme"] for row in rows]}
    title = "Figure 5: new or all selectors, with and without L1"
    return drawn_rows(study, title, "", names, rows, tuple(MEASURES)[:3], notes, repeated)


def sparsity_sweep(study: Study) -> list[Drawing]:
    """Draw accuracy and how sparse scores are against the weight of L1; [] for a single weight.

    A weight of 0 belongs to either form of the term. Of several sets of other settings those with
    the most weights are shown. Runs with one weight per task have no place on the scale.
    """
    found: list[Drawing] = []
    split = list(families(study, ("sparsity", "sparsity_form")))
    for form in ("loss", "proximal"):
        made: list[tuple[int, Drawing]] = []
        for family, repeated in split:
            runs = family[[not isinstance(each, list) for each in family["sparsity"]]]
            runs = runs[~runs["penalised"] | (runs["form"] == form)]
            parts = [part for _, part in runs.groupby("strength")]
            if runs["penalised"].any() and len(parts) > 1:
                rows = [point(study, part, form) for part in parts]
                made.append((len(rows), sweep(study, form, rows, repeated)))
        most = max((count for count, _ in made), default=0)
        found += [drawing for count, drawing in made if count == most]
    return found


def point(study: Study, runs: DataFrame, form: str) -> dict[str, Any]:
    """Measure one weight of L1."""
    modules = study.modules[study.modules["run"].isin(runs["run"])]
    by_run = modules.groupby("run")[["sharp", "effective"]].mean()
    found: dict[str, float | None] = {}
    for name, column in (("above_0.9", "sharp"), ("effective", "effective")):
        whole = len(by_run) == len(runs)
        mean, sd = mean_sd(by_run[column].tolist()) if whole else (None, None)
        found |= {name: mean, f"{name}_sd": sd}
    widths = study.attention[study.attention["run"].isin(runs["run"])].groupby("run")["lora"]
    return {
        "sparsity": float(runs["sparsity"].iloc[0]),
        "sparsity_form": form,
        "selectors": runs["selectors"].iloc[0],
        **which(runs),
        **measured(study, runs, "average"),
        **measured(study, runs, "forgetting"),
        **found,
        "most": widths.nunique().max(),
    }


def sweep(study: Study, form: str, rows: list[dict[str, Any]], repeated: int) -> Drawing:
    """Draw the sweep: accuracy above, sparsity of the scores below."""
    counts = [row["most"] for row in rows if row["most"] == row["most"]]
    most = int(max(counts)) if counts else None
    rows = [{**row, "most": most} for row in rows]
    notes = [
        "LoRAs in effect: exp(entropy) of a token's scores, mean over tokens, tasks and modules;"
        f" at most N + 1 = {most or 'unknown'}, which equal scores give."
    ]
    if any(row["above_0.9_sd"] is not None for row in rows):
        notes.append("±, and the bars of the last two: standard deviation over seeds.")
    term = "in the loss" if form == "loss" else "as a soft threshold (proximal)"
    title = f"Sweep of the weight of L1, {term}"
    about = f"selectors {rows[0]['selectors']}, "
    names = {"weight": [f"{row['sparsity']:g}" for row in rows]}
    measures = [name for name in MEASURES if name in rows[0]]
    return drawn_rows(study, title, about, names, rows, measures, notes, repeated, most)


def drawn_rows(
    study: Study,
    title: str,
    about: str,
    names: Mapping[str, list[str]],
    rows: Sequence[Row],
    measures: Sequence[str],
    notes: Sequence[str],
    repeated: int,
    most: int | None = None,
) -> Drawing:
    """Draw rows of measures, a panel for each measure.

    Args:
        study: the runs.
        title: of the figure.
        about: what is equal in all rows.
        names: the column that names the rows.
        rows: each with its measures, and its `runs`, `seeds` and `learning_rate`.
        measures: names of MEASURES.
        notes: what must be known to read it.
        repeated: runs that were left out.
        most: LoRAs that can be in effect, where it is drawn.
    """
    ((first, labels),) = names.items()
    kinds = {row.get(f"{name}_interval") for row in rows for name in measures}
    notes = [*notes, *["Forgetting of a single run has no interval."] * ("rows" in kinds)]
    if len({row["learning_rate"] for row in rows if row["seeds"]}) > 1:
        notes.append("The rows were not all run at the same learning rate.")
    if repeated:
        notes.append(
            f"Left out: runs that repeat settings and seed under another name: {repeated}."
        )
    rates = ["" if row["learning_rate"] is None else f"{row['learning_rate']:g}" for row in rows]
    shown = {
        first: labels,
        "runs": [row["runs"] or "no run" for row in rows],
        **{MEASURES[name][0]: [cell(row, name) for row in rows] for name in measures},
        "learning rate": rates,
        "seeds": [", ".join(map(str, row["seeds"])) for row in rows],
    }
    look = {"color": line_look(0)["color"], "linewidth": 1.2}
    legend = {
        said: {**look, "linestyle": DASHES.get(k, "-")} for k, said in KEYS.items() if k in kinds
    }
    legend |= {f"N + 1 = {most}": LEVEL_LOOK} if most else {}
    seeds = seeds_text([seed for row in rows for seed in row["seeds"]])
    brackets = [meaning for kind, meaning in OVER.items() if kind in kinds]
    return Drawing(
        sheet=Sheet(
            title=title,
            about=[study.about(f"{about}{seeds}")],
            values=study.named(DataFrame(list(rows))),
            shown=DataFrame(shown),
            words=(first, "runs", "seeds"),
            notes=[*notes, *brackets],
        ),
        panels=tuple(
            Panel(
                title=MEASURES[name][0],
                label=f"{MEASURES[name][0]}, of {', '.join(labels)}",
                paint=points(labels, [bar(row, name) for row in rows], joined=first == "weight",
                             most=most if name == "effective" else None),
                size=(3.4, 2.0),
            )
            for name in measures
        ),
        columns=3 if len(measures) == 3 else 2,
        legend=legend,
        notes=tuple(notes),
    )  # fmt: skip


def cell(row: Row, name: str) -> str:
    """Show a measure with its deviation, or its interval in the brackets of its kind."""
    if row[name] is None:
        return MISSING if f"{name}_sd" in row else ""
    unit = MEASURES[name][1]
    show: Callable[[float], str] = rounded if unit == 100 else "{:.2f}".format
    told = show(unit * row[name])
    if row.get(f"{name}_sd") is not None:
        return f"{told} ± {show(unit * row[f'{name}_sd'])}"
    if not row.get(f"{name}_interval"):
        return told
    ends = unit * row[f"{name}_low"], unit * row[f"{name}_high"]
    return f"{told} {bracketed(*ends, row[f'{name}_interval'], rounded)}"


def bar(row: Row, name: str) -> tuple[float, float, float, Any, str] | None:
    """Return a value, the ends of its bar, its dashes, and the value as text; None for none."""
    if row[name] is None:
        return None
    value, sd, unit = row[name], row.get(f"{name}_sd") or 0.0, MEASURES[name][1]
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    ends = (value - sd, value + sd) if low is None or high is None else (low, high)
    dashes = DASHES.get(row.get(f"{name}_interval"), "-")
    return unit * value, unit * ends[0], unit * ends[1], dashes, cell(row, name).split(" ")[0]


def points(
    labels: Sequence[str],
    bars: Sequence[tuple[float, float, float, Any, str] | None],
    *,
    joined: bool,
    most: int | None,
) -> Callable[["Axes"], None]:
    """Return what paints values side by side, each with its bar.

    Args:
        labels: below them.
        bars: of `bar`.
        joined: whether a line goes from one to the next; else each has its number.
        most: where a level is drawn; the axis then begins at 0.
    """

    def paint(axes: "Axes") -> None:
        look = line_look(0)
        known = [(x, *each) for x, each in enumerate(bars) if each is not None]
        for x, value, low, high, dashes, text in known:
            axes.vlines(x, low, high, look["color"], dashes, lw=1.2)
            if not joined:
                axes.annotate(text, (x, value), (6, 3), textcoords="offset points", fontsize=8)
        if known:
            style = look if joined else {**look, "linestyle": "none"}
            axes.plot([x for x, *_ in known], [value for _, value, *_ in known], **style)
        if most is not None:
            axes.axhline(most, **LEVEL_LOOK)
        low = min((low for _, _, low, *_ in known), default=0.0)
        high = max((high for _, _, _, high, *_ in known), default=100.0)
        room = max(0.08 * (high - low), 1.0)
        axes.set_ylim(*((0, 1.1 * most) if most else (low - room, high + room)))
        axes.set_xlim(-0.4, len(labels) - 0.4)
        axes.set_xticks(range(len(labels)), labels)
        axes.grid(visible=False, axis="x")
        axes.locator_params(axis="y", nbins=4, steps=[1, 2, 5, 10])

    return paint
