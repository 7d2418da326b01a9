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
from amlora.records.alike import across_orders
from amlora.report.compare import OVER, interval_of, seeds_text, spread_of
from amlora.report.format import MISSING, bracketed, spread
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
TITLE = "Figure 5: new or all selectors, with and without L1"
SOFT = "as a soft threshold (proximal)"
KEYS = {"seeds": "95 % interval over seeds", "rows": "95 % interval over one run's test rows"}


def figure_5(study: Study) -> list[Drawing]:
    """Draw the four schemes; [] without runs of both kinds of selectors.

    Of several weights of L1 those are shown that have runs in the most schemes. A scheme without a
    run is there without numbers.
    """
    made: list[tuple[int, Drawing]] = []
    for family in families(study, ("selectors", "sparsity", "sparsity_form")):
        for weight in family.loc[family["penalised"], "weight"].unique().tolist() or [""]:
            rows = [scheme(family, weight, name) for name in SCHEMES]
            found = [row for row in rows if row["runs"]]
            if {row["selectors"] for row in found} == {"new", "all"}:
                about = rows, schemes_notes(rows), family["repeated"].iloc[0]
                made.append(
                    (len(found), drawn_rows(study, TITLE, "", ("scheme", [*SCHEMES]), *about))
                )
    return fullest(made)


def schemes_notes(rows: Sequence[Row]) -> list[str]:
    """Say what the schemes are and which have no run."""
    told = next((f"{r['sparsity']} ({r['sparsity_form']})" for r in rows if r["sparsity_form"]), "")
    missing = [row["scheme"] for row in rows if not row["runs"]]
    return [
        "NR: only the new task's selector is trained; AR: all of them; L1: sparsity"
        f" {told or 'without a run'}.",
        *([f"No run: {', '.join(missing)}."] if missing else []),
    ]


def fullest(made: Sequence[tuple[int, Drawing]]) -> list[Drawing]:
    """Return the drawings that show the most."""
    most = max((count for count, _ in made), default=0)
    return [drawing for count, drawing in made if count == most]


def families(study: Study, varying: Sequence[str]) -> Iterator[DataFrame]:
    """Give AM-LoRA's runs that differ in some settings of the method alone, weakest L1 first.

    Further columns: selectors, sparsity, form, weight (sparsity and form as text), penalised, and
    repeated, how many runs repeat another's settings and seed under another name and are left out.
    """
    runs = study.runs[study.runs["method"] == "am_lora"]
    own = [record.settings.get("method", {}) for record in runs["record"]]
    alike = [[str(r.method_version), across_orders(r, varying)] for r in runs["record"]]
    runs = runs.assign(
        family=[files.digest(each) for each in alike],
        selectors=[each.get("selectors", "") for each in own],
        sparsity=[each.get("sparsity") for each in own],
        form=[each.get("sparsity_form", "") for each in own],
    ).dropna(subset="sparsity")
    weights = list(zip(runs["sparsity"], runs["form"], strict=True))
    runs["weight"] = [json.dumps(weight) for weight in weights]
    runs["strength"] = [fmean(each) if isinstance(each, list) else each for each, _ in weights]
    runs["penalised"] = runs["strength"] > 0
    order = ["strength", "weight", "selectors", "rate", "seed", "name", "run"]
    for _, family in runs.sort_values(order).groupby("family"):
        once = family.drop_duplicates(["selectors", "weight", "rate", "seed"])
        once = once.assign(repeated=len(family) - len(once))
        several = once.groupby(["selectors", "weight"])["rate"].nunique().max() > 1
        yield from [each for _, each in once.groupby("rate")] if several else [once]


def scheme(family: DataFrame, weight: str, name: str) -> dict[str, Any]:
    """Gather one of the four schemes at one weight of L1, "" for none."""
    selectors, penalised = SCHEMES[name]
    runs = family[(family["selectors"] == selectors) & (family["penalised"] == penalised)]
    # A weight of 0 may be there in both forms of L1, and either is without L1.
    runs = runs[runs["weight"] == (weight if penalised else runs["weight"].min())]
    of = family.loc[family["weight"] == weight, ["sparsity", "form"]]
    sparsity, form = of.iloc[0] if penalised and len(of) else (0, "")
    several = isinstance(sparsity, list)
    return {
        "scheme": name,
        "selectors": selectors,
        "sparsity": f"{min(sparsity):g} to {max(sparsity):g}, per task"
        if several
        else f"{sparsity:g}",
        "sparsity_form": form,
        **row_of(runs, "average", "forgetting", "learning_accuracy"),
    }


def row_of(runs: DataFrame, *measures: str) -> dict[str, Any]:
    """Say which runs are in a row, and some metrics of theirs with intervals, as fractions."""
    row: dict[str, Any] = {
        "runs": ", ".join(runs["name"].unique()),
        "seeds": tuple(runs["seed"].tolist()),
        "learning_rate": None if runs.empty else runs["rate"].iloc[0],
    }
    for name in measures:
        row |= {name: spread_of(runs, [name])[name], **interval_of(runs, name)}
    return row


def sparsity_sweep(study: Study) -> list[Drawing]:
    """Draw accuracy and how sparse scores are against the weight of L1; [] for a single weight.

    A weight of 0 belongs to either form of the term. Of several sets of other settings those with
    the most weights are shown. Runs with one weight per task have no place on the scale.
    """
    found: list[Drawing] = []
    split = list(families(study, ("sparsity", "sparsity_form")))
    for form in ("loss", "proximal"):
        made: list[tuple[int, Drawing]] = []
        for family in split:
            runs = family[[not isinstance(each, list) for each in family["sparsity"]]]
            runs = runs[~runs["penalised"] | (runs["form"] == form)]
            parts = [part for _, part in runs.groupby("strength")]
            if runs["penalised"].any() and len(parts) > 1:
                rows = [point(study, part, form) for part in parts]
                made.append((len(rows), sweep(study, form, rows, family["repeated"].iloc[0])))
        found += fullest(made)
    return found


def point(study: Study, runs: DataFrame, form: str) -> dict[str, Any]:
    """Measure one weight of L1."""
    modules = study.modules.assign(**{"above_0.9": study.modules["sharp"]}).groupby("run")
    sparse = modules[["above_0.9", "effective"]].mean().reindex(runs["run"])
    widths = study.attention[study.attention["run"].isin(runs["run"])].groupby("run")["lora"]
    return {
        "sparsity": float(runs["sparsity"].iloc[0]),
        "sparsity_form": form,
        "selectors": runs["selectors"].iloc[0],
        **row_of(runs, "average", "forgetting"),
        **spread_of(sparse, [*sparse]),
        "most": widths.nunique().max(),
    }


def sweep(study: Study, form: str, rows: list[dict[str, Any]], repeated: int) -> Drawing:
    """Draw the sweep: accuracy above, sparsity of the scores below."""
    most = max((int(row["most"]) for row in rows if row["most"] == row["most"]), default=None)
    notes = [
        "LoRAs in effect: exp(entropy) of a token's scores, mean over tokens, tasks and modules;"
        f" at most N + 1 = {most or 'unknown'}, which equal scores give."
    ]
    if any(row["above_0.9_sd"] is not None for row in rows):
        notes.append("±, and the bars of the last two: standard deviation over seeds.")
    title = f"Sweep of the weight of L1, {'in the loss' if form == 'loss' else SOFT}"
    labels = [f"{row['sparsity']:g}" for row in rows]
    rows = [{**row, "most": most} for row in rows]
    about = f"selectors {rows[0]['selectors']}, "
    return drawn_rows(study, title, about, ("weight", labels), rows, notes, repeated, most)


def drawn_rows(
    study: Study,
    title: str,
    about: str,
    named: tuple[str, list[str]],
    rows: Sequence[Row],
    notes: Sequence[str],
    repeated: int,
    most: int | None = None,
) -> Drawing:
    """Draw rows of measures, a panel for each measure.

    Args:
        study: the runs.
        title: of the figure.
        about: what is equal in all rows.
        named: the column that names the rows, and their names.
        rows: of `row_of`, with other measures on top.
        notes: to which those are added that all figures of rows have.
        repeated: how many runs were left out.
        most: LoRAs that can be in effect, where it is drawn.
    """
    first, labels = named
    measures = [name for name in MEASURES if name in rows[0]]
    kinds = {row.get(f"{name}_interval") for row in rows for name in measures}
    notes = [*notes, *["Forgetting of a single run has no interval."] * ("rows" in kinds)]
    if len({row["learning_rate"] for row in rows if row["seeds"]}) > 1:
        notes.append("The rows were not all run at the same learning rate.")
    if repeated:
        notes.append(
            f"Left out: runs that repeat settings and seed under another name: {repeated}."
        )
    shown = {
        first: labels,
        "runs": [row["runs"] or "no run" for row in rows],
        **{MEASURES[name][0]: [cell(row, name) for row in rows] for name in measures},
        "learning rate": [f"{row['learning_rate']:g}" if row["runs"] else "" for row in rows],
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
                paint=points(labels, rows, name, most if name == "effective" else None),
                size=(3.4, 2.0),
            )
            for name in measures
        ),
        columns=3 if len(measures) == 3 else 2,
        legend=legend,
        notes=tuple(notes),
    )


def cell(row: Row, name: str) -> str:
    """Show a measure with its deviation, or its interval in the brackets of its kind."""
    if row[name] is None:
        return MISSING if row["runs"] else ""
    unit = MEASURES[name][1]
    show: Callable[[float], str] = rounded if unit == 100 else "{:.2f}".format
    sd, over = row.get(f"{name}_sd"), row.get(f"{name}_interval")
    told = spread(unit * row[name], None if sd is None else unit * sd, show, show)
    low, high = (unit * end for end in ends_of(row, name))
    return f"{told} {bracketed(low, high, over, rounded)}" if over else told


def ends_of(row: Row, name: str) -> tuple[float, float]:
    """Return the ends of a measure's bar: its interval, or a deviation to both sides."""
    if row.get(f"{name}_low") is not None:
        return row[f"{name}_low"], row[f"{name}_high"]
    sd = row.get(f"{name}_sd") or 0.0
    return row[name] - sd, row[name] + sd


def points(
    labels: Sequence[str], rows: Sequence[Row], name: str, most: int | None
) -> Callable[["Axes"], None]:
    """Return what paints a measure of rows side by side, each with its bar.

    Weights are joined by a line; schemes have their numbers. `most` is where a level is drawn; the
    axis then begins at 0.
    """
    joined, unit = "scheme" not in rows[0], MEASURES[name][1]

    def paint(axes: "Axes") -> None:
        look = line_look(0) if joined else {**line_look(0), "linestyle": "none"}
        known = [(x, row) for x, row in enumerate(rows) if row[name] is not None]
        bars = [tuple(unit * end for end in ends_of(row, name)) for _, row in known]
        for (x, row), bar in zip(known, bars, strict=True):
            dashes = DASHES.get(row.get(f"{name}_interval"), "-")
            axes.vlines(x, bar[0], bar[1], look["color"], dashes, lw=1.2)
            if not joined:
                text, place = cell(row, name).split(" ")[0], (x, unit * row[name])
                axes.annotate(text, place, (6, 3), textcoords="offset points", fontsize=8)
        if known:
            axes.plot([x for x, _ in known], [unit * row[name] for _, row in known], **look)
        if most is not None:
            axes.axhline(most, **LEVEL_LOOK)
        low, high = min((bar[0] for bar in bars), default=0), max((b[1] for b in bars), default=100)
        room = max(0.08 * (high - low), 1.0)
        axes.set_ylim(*((0, 1.1 * most) if most else (low - room, high + room)))
        axes.set_xlim(-0.4, len(labels) - 0.4)
        axes.set_xticks(range(len(labels)), labels)
        axes.grid(visible=False, axis="x")
        axes.locator_params(axis="y", nbins=4, steps=[1, 2, 5, 10])

    return paint
