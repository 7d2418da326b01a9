"""The comparison of methods: a row a line, over the seeds of its runs.

Runs that differ in more than their seed are different lines, and runs of different streams (tasks,
rows, order) or base models are different tables: only what was measured alike stands side by side.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pandas import DataFrame

from amlora.evaluate.statistics import mean_sd
from amlora.records.schema import Metrics
from amlora.report import format
from amlora.report.compare import (
    MISSING,
    OVER,
    interval_of,
    lines_of,
    seeds_text,
    spread_of,
    subject,
    unequal_seeds,
)
from amlora.report.write import Sheet, plain

Row = Mapping[str, Any]
NUMBER_BYTES = 4  # a stored parameter is counted as float32
MEANS = (*Metrics.model_fields, "seconds", "routed_right")
GENERAL = (
    *("general_loss_before", "general_loss", "general_right_before", "general_right"),
    *("general_begun_before", "general_begun", "general_rejected"),
)
TASK_ID, EXAMPLES = "\N{DAGGER}", "\N{DOUBLE DAGGER}"
MARKS = {
    "needs_task_id": f"{TASK_ID} needs a task id for an answer.",
    "stores_examples": f"{EXAMPLES} keeps or makes up examples.",
}
STORED = "Stored: parameters after the last task, four bytes each; examples come on top."
DEVIATION = "±: standard deviation over seeds."
ZERO_SHOT = "± of zero-shot: over runs, whose weights are not all rounded alike."
IDLE = (
    "Stages in which a term was under 1 % of the task's loss, or another part did next to nothing"
    " (the runs say which): "
)
GENERAL_LEGEND = (
    "Loss: on texts of no task, per token, before learning and after the last task.",
    "Right: questions of no task answered exactly; an answer that goes on is wrong.",
    "Begun right: the first tokens of the answer are the gold one, whatever follows.",
)
REJECTED = "To the base model: the share of these prompts that the method took for no task's."
BY_DESIGN = (
    f"{TASK_ID} needs a task id and has none here: the base model answers, as before learning."
)


def methods_table(runs: DataFrame) -> DataFrame:
    """Return one row a line, and first the base model before learning, where that was scored.

    Means are over seeds and stand beside their standard deviation (`_sd`, missing for one seed);
    they are missing where a run lacks the value. Fractions, numbers of parameters, megabytes
    (10^6 bytes), seconds.

    Args:
        runs: of one stream and base model, of `comparable`. Columns that may be absent:
            needs_task_id and stores_examples, what the method says; candidates, the rates that
            `train.lr` was chosen from.
    """
    return DataFrame([*zero_shot(runs), *map(line_row, lines_of(runs))])


def line_row(runs: DataFrame) -> dict[str, Any]:
    """Sum the seeds of one line up."""
    first = runs.iloc[0]
    kept = first.get("stores_examples")
    return {
        **subject(runs),
        "label": first["label"],
        "method": first["method"],
        "seeds": runs["seed"].tolist(),
        **spread_of(runs, MEANS),
        **interval_of(runs, "average"),
        "trainable_parameters": runs["trained"].max(),
        "stored_megabytes": runs["stored_parameters"].max() * NUMBER_BYTES / 1e6,
        "stored_examples": runs["stored_examples"].max(),
        "needs_task_id": first.get("needs_task_id"),
        # As the method says, unless no run kept one.
        "stores_examples": kept if kept is None else bool(kept) and runs["kept_examples"].any(),
        "rate": first["rate"],
        "candidates": list(first.get("candidates", ())),
        "stages_idle": runs["stages_idle"].sum(),
        "stages_counted": runs["stages_counted"].sum(),
        **spread_of(runs, [name for name in GENERAL if name in runs]),
    }


def zero_shot(runs: DataFrame) -> list[dict[str, Any]]:
    """Return the model's own scores, which runs measure before they learn; [] where none did.

    They are the same in all runs but for rounding, where methods keep the weights in other types;
    then there is a standard deviation.
    """
    known = runs["zero_shot"].dropna().tolist()
    if not known:
        return []
    mean, sd = (known[0], None) if len(set(known)) == 1 else mean_sd(known)
    told = {"label": "zero-shot", "method": "", "seeds": [], "candidates": []}
    return [{**subject(runs), **told, "average": mean, "average_sd": sd, "average_interval": ""}]


def methods_sheets(runs: DataFrame) -> list[Sheet]:
    """Return the comparison of one stream and base model, and that of general ability if measured.

    Args:
        runs: as for `methods_table`.
    """
    table = methods_table(runs)
    title = f"{table['model'][0]}: {', '.join(table['tasks'][0])} ({seeds_text(runs['seed'])})"
    rows = plain(table)
    sheet = Sheet(
        title=title,
        values=table,
        shown=shown(rows, COLUMNS),
        words=("method", "task id", "learning rate"),
        notes=notes(rows),
        legend=legend(rows),
    )
    general = [row for row in rows if row.get("general_loss") is not None]
    return [sheet, *([general_sheet(title, general, rows)] if general else [])]


def shown(rows: Sequence[Row], columns: Mapping[str, Callable[[Row], str]]) -> DataFrame:
    """Return rows as a reader sees them; what is missing is a dash."""
    cells = [{name: show(row) or format.MISSING for name, show in columns.items()} for row in rows]
    return DataFrame(cells, dtype=object)


def named(row: Row) -> str:
    """Return a line's name with its marks."""
    needs, stores = row.get("needs_task_id"), row.get("stores_examples")
    return f"{row['label']} {TASK_ID * bool(needs)}{EXAMPLES * bool(stores)}".rstrip()


def spread(
    name: str,
    show: Callable[[float], str] = format.percent,
    show_sd: Callable[[float], str] = format.percent,
) -> Callable[[Row], str]:
    """Return what shows a mean, with its standard deviation where there is one."""
    return lambda row: format.spread(row.get(name), row.get(f"{name}_sd"), show, show_sd)


def average(row: Row) -> str:
    """Show an average with its interval."""
    mean, low, high = spread("average")(row), row.get("average_low"), row.get("average_high")
    if low is None or high is None:
        return mean
    return f"{mean} {format.bracketed(low, high, row['average_interval'], format.unsigned)}"


def told(name: str, show: Callable[[Any], str]) -> Callable[[Row], str]:
    """Return what shows a value where there is one."""
    return lambda row: "" if row.get(name) is None else show(row[name])


def rate(row: Row) -> str:
    """Show a learning rate, and the candidates that it was chosen from."""
    tried = ", ".join(f"{each:g}" for each in row["candidates"])
    return told("rate", lambda value: f"{value:g}{f' of {tried}' if tried else ''}")(row)


COLUMNS: dict[str, Callable[[Row], str]] = {
    "method": named,
    "average, %": average,
    "forgetting, points": spread("forgetting", format.unsigned),
    "learning accuracy, %": spread("learning_accuracy"),
    "BWT, points": spread("bwt", format.points),
    "trained": told("trainable_parameters", format.count),
    "stored, MB": told("stored_megabytes", "{:.1f}".format),
    "examples": told("stored_examples", "{:.0f}".format),
    "task id": told("needs_task_id", lambda value: "yes" if value else "no"),
    "time": told("seconds", format.seconds),
    "learning rate": rate,
}
GENERAL_COLUMNS: dict[str, Callable[[Row], str]] = {
    "method": lambda row: f"{row['label']} {TASK_ID * bool(row['needs_task_id'])}".rstrip(),
    "loss before, nats": told("general_loss_before", format.nats),
    "loss after, nats": spread("general_loss", format.nats, format.nats),
    "change": lambda row: format.nats_change(row["general_loss"] - row["general_loss_before"]),
    "right before, %": spread("general_right_before"),
    "right after, %": spread("general_right"),
    "begun right before, %": spread("general_begun_before"),
    "begun right after, %": spread("general_begun"),
    "to the base model, %": spread("general_rejected"),
}


def notes(rows: Sequence[Row]) -> list[str]:
    """Say what differs between the lines of a table."""
    lines = [row for row in rows if row["method"]]
    said = unequal_seeds({row["label"]: row["seeds"] for row in lines})
    show = spread("routed_right")
    routed = [f"{row['label']} {show(row)} %" for row in lines if show(row)]
    if routed:
        said.append(f"Rows that their own task's stage answered: {', '.join(routed)}.")
    idle = [
        f"{row['label']} {row['stages_idle']:.0f} of {row['stages_counted']:.0f}"
        for row in lines
        if row["stages_idle"]
    ]
    if idle:
        said.append(f"{IDLE}{', '.join(idle)}.")
    return said


def legend(rows: Sequence[Row]) -> list[str]:
    """Say what the words and marks of a table mean."""
    lines = [row for row in rows if row["method"]]
    said = [meaning for name, meaning in MARKS.items() if any(row[name] for row in lines)]
    if any(row["average_sd"] is not None for row in lines):
        said.append(DEVIATION)
    if any(row["average_sd"] is not None for row in rows if not row["method"]):
        said.append(ZERO_SHOT)
    over = {row["average_interval"] for row in lines}
    said.extend(meaning for kind, meaning in OVER.items() if kind in over)
    return [*said, MISSING, STORED]


def general_sheet(title: str, measured: Sequence[Row], rows: Sequence[Row]) -> Sheet:
    """Return what learning did to texts and questions of no task."""
    said = [*GENERAL_LEGEND]
    if any(row["general_rejected"] is not None for row in measured):
        said.append(REJECTED)
    if any(row["needs_task_id"] for row in measured):
        said.append(BY_DESIGN)
    left = [row["label"] for row in rows if row["method"] and row not in measured]
    return Sheet(
        title=f"General ability, {title}",
        values=None,
        shown=shown(measured, GENERAL_COLUMNS),
        words=("method",),
        notes=[f"Not measured: {', '.join(left)}."] if left else [],
        legend=said,
    )
