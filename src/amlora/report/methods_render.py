"""The comparison of methods as text, Markdown, CSV, JSON and LaTeX: equal tables, equal bytes.

Means over several seeds stand with their standard deviation, averages with their interval. Empty
cells are named below a table, and so is what the marks mean; CSV and JSON hold full precision.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from amlora.report.format import count, nats, nats_change, percent, points, seconds
from amlora.report.intervals import OVER, bracketed
from amlora.report.methods_table import Figure, GeneralLine, MethodLine, MethodsTable
from amlora.report.typeset import (
    Format,
    Sheet,
    comma_separated,
    empty_cells,
    plain_json,
    typeset,
)

HEADINGS = (
    *("method", "average, %", "forgetting, points", "learning accuracy, %", "BWT, points"),
    *("trained", "stored, MB", "examples", "task id", "time", "learning rate"),
)
TASK_ID, EXAMPLES = "\N{DAGGER}", "\N{DOUBLE DAGGER}"
GENERAL_HEADINGS = (
    *("method", "loss before, nats", "loss after, nats", "change"),
    *("right before, %", "right after, %", "begun right before, %", "begun right after, %"),
    "to the base model, %",
)
GENERAL = (
    "Loss: on texts of no task, per token, before learning and after the last task.",
    "Right: questions of no task answered exactly; an answer that goes on is wrong.",
    "Begun right: the first tokens of the answer are the gold one, whatever follows.",
)
REJECTED = "To the base model: the share of these prompts that the method took for no task's."
BY_DESIGN = (
    f"{TASK_ID} needs a task id and has none here: the base model answers, as before learning."
)
LEGEND = {TASK_ID: "needs a task id for an answer", EXAMPLES: "keeps or makes up examples"}


def render(tables: Sequence[MethodsTable], form: Format, notes: Sequence[str] = ()) -> str:
    """Write tables in a format, ending in a newline.

    Args:
        tables: of `methods_tables`.
        form: the format.
        notes: lines of the caller's, such as what was left out; CSV has none.
    """
    if form == "json":
        return as_json(tables, notes)
    if form == "csv":
        general = any(line.general for table in tables for line in table.lines)
        rows = [
            {"model": table.model, "tasks": list(table.tasks), **flat(line)}
            | (flat_general(line.general) if general else {})
            for table in tables
            for line in table.lines
        ]
        return comma_separated(rows)
    sheets = [each for table in tables for each in (sheet(table), general_sheet(table)) if each]
    return typeset(sheets, form, notes)


def sheet(table: MethodsTable) -> Sheet:
    """Return a table as a reader sees it."""
    return Sheet(
        heading=heading(table),
        columns=HEADINGS,
        rows=[cells(line) for line in table.lines],
        remarks=remarks(table),
    )


def cells(line: MethodLine) -> list[str]:
    """Return a line as a reader sees it, in the order of `HEADINGS`; "" is an empty cell."""
    marks = TASK_ID * bool(line.needs_task_id) + EXAMPLES * bool(line.stores_examples)
    told = {True: "yes", False: "no", None: ""}
    tried = ", ".join(f"{rate:g}" for rate in line.candidates)
    rate = "" if line.rate is None else f"{line.rate:g}"
    average = [spread(line.average, percent)]
    if line.interval:
        average.append(bracketed(line.interval, line.over, unsigned))
    return [
        f"{line.label} {marks}".rstrip(),
        " ".join(average),
        spread(line.forgetting, unsigned),
        spread(line.learning_accuracy, percent),
        spread(line.bwt, points),
        "" if line.trainable_parameters is None else count(line.trainable_parameters),
        "" if line.stored_megabytes is None else f"{line.stored_megabytes:.1f}",
        "" if line.stored_examples is None else str(line.stored_examples),
        told[line.needs_task_id],
        "" if line.seconds is None else seconds(line.seconds.mean),
        f"{rate} of {tried}" if tried else rate,
    ]


def general_sheet(table: MethodsTable) -> Sheet | None:
    """Return what learning did to texts and questions of no task; None where nobody looked."""
    measured = [(line, line.general) for line in table.lines if line.general]
    if not measured:
        return None
    said: list[str] = [*GENERAL]
    if any(general.rejected for _, general in measured):
        said.append(REJECTED)
    if any(line.needs_task_id for line, _ in measured):
        said.append(BY_DESIGN)
    if left := [line.label for line in table.lines if line.method and not line.general]:
        said.append(f"Not measured: {', '.join(left)}.")
    return Sheet(
        heading=f"General ability, {heading(table)}",
        columns=GENERAL_HEADINGS,
        rows=[general_cells(line, general) for line, general in measured],
        remarks=said,
    )


def general_cells(line: MethodLine, general: GeneralLine) -> list[str]:
    """Return a line as a reader sees it, in the order of `GENERAL_HEADINGS`."""
    loss = nats(general.loss.mean)
    if general.loss.sd is not None:
        loss = f"{loss} ± {nats(general.loss.sd)}"
    return [
        f"{line.label} {TASK_ID * bool(line.needs_task_id)}".rstrip(),
        nats(general.loss_before.mean),
        loss,
        nats_change(general.loss.mean - general.loss_before.mean),
        spread(general.right_before, percent),
        spread(general.right, percent),
        spread(general.begun_before, percent),
        spread(general.begun, percent),
        spread(general.rejected, percent),
    ]


def unsigned(value: float) -> str:
    """Per cent or points with a sign below zero alone."""
    return points(value).removeprefix("+")


def spread(value: Figure | None, show: Callable[[float], str]) -> str:
    """Show a mean, with its standard deviation (in the same unit) where there is one."""
    if value is None:
        return ""
    return show(value.mean) if value.sd is None else f"{show(value.mean)} ± {percent(value.sd)}"


def heading(table: MethodsTable) -> str:
    """Say what a table is about."""
    seeds = sorted({seed for line in table.lines for seed in line.seeds})
    shown = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    return f"{table.model}: {', '.join(table.tasks)} ({shown})"


def remarks(table: MethodsTable) -> list[str]:
    """Say what the marks mean, what is empty, and what differs between lines."""
    said: list[str] = []
    lines = [line for line in table.lines if line.method]
    rows = {line.label: cells(line) for line in lines}
    for mark, meaning in LEGEND.items():
        if any(mark in row[0] for row in rows.values()):
            said.append(f"{mark} {meaning}.")
    if any(line.average and line.average.sd is not None for line in lines):
        said.append("±: standard deviation over seeds.")
    zero = [line.average for line in table.lines if not line.method]
    if any(average and average.sd is not None for average in zero):
        said.append("± of zero-shot: over runs, whose weights are not all rounded alike.")
    over = {line.over for line in lines}
    said.extend(meaning for kind, meaning in OVER.items() if kind in over)
    if len({line.seeds for line in lines}) > 1:
        each = "; ".join(f"{line.label} {list(line.seeds)}" for line in lines)
        said.append(f"Not all lines have the same seeds: {each}.")
    if empty := empty_cells(HEADINGS, rows):
        said.append(
            "Empty cells are undefined (joint learning has no order) or were not measured:"
            f" {empty}."
        )
    routed = [
        f"{line.label} {spread(line.routed_right, percent)} %"
        for line in lines
        if line.routed_right is not None
    ]
    if routed:
        said.append(f"Rows that their own task's stage answered: {', '.join(routed)}.")
    idle = [f"{line.label} {line.idle[0]} of {line.idle[1]}" for line in lines if line.idle[0]]
    if idle:
        said.append(
            "Stages in which a term was under 1 % of the task's loss, or another part did next to"
            f" nothing (the runs say which): {', '.join(idle)}."
        )
    said.append("Stored: parameters after the last task, four bytes each; examples come on top.")
    return said


def flat(line: MethodLine) -> dict[str, Any]:
    """Return a line as plain values: means, standard deviations and ends of the interval apart."""
    return {
        "label": line.label,
        "method": line.method,
        "seeds": list(line.seeds),
        **mean_and_sd("average", line.average),
        "average_low": line.interval.low if line.interval else None,
        "average_high": line.interval.high if line.interval else None,
        "average_interval": line.over,
        **mean_and_sd("forgetting", line.forgetting),
        **mean_and_sd("learning_accuracy", line.learning_accuracy),
        **mean_and_sd("bwt", line.bwt),
        **mean_and_sd("seconds", line.seconds),
        "trainable_parameters": line.trainable_parameters,
        "stored_megabytes": line.stored_megabytes,
        "stored_examples": line.stored_examples,
        "needs_task_id": line.needs_task_id,
        "stores_examples": line.stores_examples,
        **mean_and_sd("routed_right", line.routed_right),
        "rate": line.rate,
        "candidates": list(line.candidates),
    }


def flat_general(general: GeneralLine | None) -> dict[str, float | None]:
    """Return a line's measurements on texts and questions of no task by name, None where none."""
    found: dict[str, float | None] = {}
    for field in fields(GeneralLine):
        value = getattr(general, field.name) if general else None
        found |= mean_and_sd(f"general_{field.name}", value)
    return found


def mean_and_sd(name: str, value: Figure | None) -> dict[str, float | None]:
    """Return a mean and its standard deviation by name."""
    return {name: value.mean if value else None, f"{name}_sd": value.sd if value else None}


def as_json(tables: Sequence[MethodsTable], notes: Sequence[str]) -> str:
    """Full precision, fractions, null where missing."""
    plain = [
        {
            "model": table.model,
            "tasks": list(table.tasks),
            "stream_digest": table.stream_digest,
            "lines": [
                flat(line) | (flat_general(line.general) if line.general else {})
                for line in table.lines
            ],
        }
        for table in tables
    ]
    return plain_json(plain, notes)
