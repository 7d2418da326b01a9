"""The paper's tables 1 and 2: published numbers, reruns and own runs side by side.

Runs of another base model or another protocol (`paper`, `clean`, or what differs from them) are
another table, whose heading names both. Nothing is ranked: the sources differ in rows and settings.
Every published number and its source stand in `published.toml`.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from pandas import DataFrame, Series

from amlora import files
from amlora.evaluate.statistics import seed_interval
from amlora.formats import parse_toml
from amlora.records.schema import Record
from amlora.report.compare import (
    NOT_RECORDED,
    OVER,
    interval_of,
    lines_across,
    seeds_text,
    setting,
)
from amlora.report.format import MINUS, bracketed
from amlora.report.format import MISSING as DASH
from amlora.report.methods import MARKS, named
from amlora.report.write import Sheet

FILE = Path(__file__).with_name("published.toml")
OURS, SECONDARY = "ours", "*"
MEASURES = (
    "Per cent: average of all tasks' scores after the last task. Forgetting (Chaudhry 2018) is in"
    " points; it and learning accuracy are means over those of the orders that have a run."
)
Named = Mapping[str, Mapping[str, Any]]


@cache
def published() -> dict[str, Any]:
    """Return what is published of the paper's tables, by their numbers."""
    return parse_toml(FILE, FILE.read_bytes())["table"]


def method_names() -> set[str]:
    """Return the methods of the paper's tables."""
    return {method["name"] for table in published().values() for method in table["methods"]}


def span(group: Sequence[str]) -> str:
    """Return how a group of orders is named: "1-3"."""
    return f"{group[0]}-{group[-1]}"


def is_of(table: Mapping[str, Any], record: Record) -> bool:
    """Tell whether a run's base model is a table's: by name and size together."""
    name, size = short(record.model.name).lower(), record.model.parameters
    return name in table["names"] and size == table["parameters"]


def short(model: str) -> str:
    """Return the last part of a model's name."""
    return model.replace("\\", "/").rstrip("/").rpartition("/")[2]


def paper_sheets(
    number: str,
    runs: DataFrame,
    *,
    orders: Mapping[str, Sequence[str]],
    protocols: Named,
    facts: Named,
) -> tuple[list[Sheet], list[str]]:
    """Make one of the paper's tables for each base model and protocol of some runs.

    Args:
        number: "1" or "2".
        runs: of `compare.told`, scored on test rows; others than the paper's are left out.
        orders: the tasks of the paper's orders.
        protocols: settings by dotted key that decide a protocol, by its name.
        facts: what methods need, by their names.

    Returns:
        The tables, those of the paper's base model first; without any run one table of published
        numbers. And a line for each kind of run that was left out.

    Raises:
        InputError: two runs of one cell that differ by more than their seed.
    """
    table = published()[number]
    others = [each for key, each in published().items() if key != number]
    wanted = [order for group in table["groups"] for order in group]
    records = runs["record"].tolist()
    runs = runs.assign(
        order=[order_of(record, orders) for record in records],
        protocol=[protocol_of(record.settings, protocols) for record in records],
        other_model=[not is_of(table, record) for record in records],
    )
    other = Series([any(is_of(each, run) for each in others) for run in records], runs.index, bool)
    within = runs["order"].isin(wanted)
    left = {
        f"that are not of orders {', '.join(sorted(wanted))}": (~within).sum(),
        "of the other table's base model": (within & other).sum(),
    }
    notes = [f"Left out: runs {what}: {count}." for what, count in left.items() if count]
    runs = runs[within & ~other]
    sides = runs.groupby(["other_model", "model", "fingerprint", "protocol"], dropna=False)
    if not len(runs):
        return [sheet(number, runs, facts)], notes
    # In CSV and JSON published numbers stand once.
    return [sheet(number, side, facts, own=at > 0) for at, (_, side) in enumerate(sides)], notes


def order_of(record: Record, orders: Mapping[str, Sequence[str]]) -> str | None:
    """Return the paper's order that a run learned, None where it is none of them.

    Own tasks of the same names are not the paper's.
    """
    if setting(record.settings, "stream.order") in (None, "", NOT_RECORDED):
        return None
    names = tuple(task.name for task in record.tasks)
    return next((name for name, tasks in orders.items() if tuple(tasks) == names), None)


def protocol_of(settings: Mapping[str, Any], protocols: Named) -> str:
    """Name the nearest protocol, what differs from it, and always prompt form and prefix."""
    differences = {
        name: [
            f"{key} = {found}"
            for key, value in decisive.items()
            if (found := setting(settings, key)) != value
        ]
        for name, decisive in protocols.items()
    }
    name = min(differences, key=lambda each: len(differences[each]))
    told = f"{name} with {', '.join(differences[name])}" if differences[name] else name
    form, prefix = (setting(settings, f"stream.{key}") for key in ("form", "prefix"))
    return f"{told} (prompt form {form}, prefix {prefix})"


def sheet(number: str, runs: DataFrame, facts: Named, *, own: bool = False) -> Sheet:
    """Put the table of one base model and protocol together; `runs` may be empty.

    Args:
        number: "1" or "2".
        runs: of one side.
        facts: what methods need, by their names.
        own: whether the values are those of own runs alone.
    """
    table = published()[number]
    rows, missing = rows_of(table, runs, facts)
    columns = columns_of(table)
    model, protocol = runs[["model", "protocol"]].iloc[0] if len(runs) else ("", "")
    numbers = [
        {
            "table": number,
            "model": model if row["read"] == "own" else table["model"],
            "protocol": protocol if row["read"] == "own" else "",
            **{name: row[name] for name in ("method", "source", "read")},
            "column": column,
            **row["cells"][column],
        }
        for row in rows
        for column in columns
        if column in row["cells"] and (row["read"] == "own" or not own)
    ]
    cells = [
        {
            "method": named(row),
            "from": f"{row['source']} {SECONDARY}" if row["read"] == "secondary" else row["source"],
            **{heading: shown(row["cells"].get(column)) for column, heading in columns.items()},
        }
        for row in rows
    ]
    title, about = f"{table['title']}: {table['model']}", ["Ours: no run."]
    if len(runs):
        about = [f"Ours: base model {model}, protocol {protocol}, {seeds_text(runs['seed'])}."]
    if runs["other_model"].any():
        title += f"; ours: {short(model)}, another base model"
        warning = (
            f"The base model of ours is {model} and not {table['model']}, which all published"
            " numbers are of: rows of the two do not compare."
        )
        about = [warning, *about]
    return Sheet(
        title=title,
        values=DataFrame(numbers),
        shown=DataFrame(cells, dtype=object),
        words=("method", "from"),
        about=about,
        notes=notes_of(table, runs, missing),
        legend=legend(table, rows, numbers),
    )


def columns_of(table: Mapping[str, Any]) -> dict[str, str]:
    """Return orders, average, forgetting and learning accuracy of each group, with headings."""
    found: dict[str, str] = {}
    for group in table["groups"]:
        orders = span(group)
        found |= {order: f"order {order}" for order in group}
        found |= {orders: f"average {orders}", f"forgetting {orders}": f"forgetting {orders}"}
        found[f"learning {orders}"] = f"learning acc. {orders}"
    return found


def rows_of(
    table: Mapping[str, Any], runs: DataFrame, facts: Named
) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """Return a row for each source of each method, and the orders that a method has no run of."""
    labels = {method["name"]: method["label"] for method in table["methods"]}
    orders = [order for group in table["groups"] for order in group]
    rows: list[dict[str, Any]] = []
    missing: dict[str, list[str]] = {}
    for method in (*labels, *sorted({*runs["method"]} - {*labels})):
        needs = {name: bool(facts.get(method, {}).get(name)) for name in MARKS}
        known = {"method": method, "label": labels.get(method, method), **needs}
        rows += [{**known, **row} for row in published_rows(table, method)]
        own = runs[runs["method"] == method]
        lines = lines_across(own)
        for source, line in sorted(zip(sources(lines), lines, strict=True), key=lambda at: at[0]):
            cells: dict[str, Any] = {}
            for group in table["groups"]:
                cells |= own_cells(line, group)
            kept = needs["stores_examples"] and bool(line["kept_examples"].any())
            told = {"source": source, "read": "own", "cells": cells, "stores_examples": kept}
            rows.append({**known, **told})
        absent = [order for order in orders if order not in {*own["order"]}]
        if method in labels and absent:
            missing[labels[method]] = absent
    return rows, missing


def published_rows(table: Mapping[str, Any], method: str) -> list[dict[str, Any]]:
    """Return the published numbers of a method, the paper's own first.

    Forgetting and learning accuracy are means over those orders that a source has.
    """
    rows: list[dict[str, Any]] = []
    for source in table["sources"]:
        for found in source["rows"]:
            if found["method"] != method:
                continue
            values = dict(found["values"])
            for group in table["groups"]:
                for word, key in (("forgetting", "forgetting"), ("learning", "learning_accuracy")):
                    each = found.get(key, {})
                    if known := [each[order] for order in group if order in each]:
                        values[f"{word} {span(group)}"] = fmean(known)
            variant = f" ({found['variant']})" if "variant" in found else ""
            told = {"source": f"{source['label']}{variant}", "read": source["read"]}
            rows.append({**told, "cells": {name: cell(value) for name, value in values.items()}})
    return rows


def cell(
    value: float,
    low: float | None = None,
    high: float | None = None,
    over: str = "",
    seeds: Sequence[int] = (),
) -> dict[str, Any]:
    """Return a number, its 95 % interval where there is one, and the seeds that it is of."""
    return {"value": value, "low": low, "high": high, "interval": over, "seeds": list(seeds)}


def own_cells(line: DataFrame, group: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the cells of one group of orders, by column; what is undefined is left out.

    The average over orders needs all of them. Its interval is over seeds that all orders have; the
    orders share test rows, so that intervals of single runs do not give one.
    """
    orders = {order: line[line["order"] == order] for order in group}
    orders = {order: runs for order, runs in orders.items() if len(runs)}
    cells: dict[str, dict[str, Any]] = {}
    by_seed: dict[str, dict[int, float]] = {}
    for order, runs in orders.items():
        if runs["average"].notna().all():
            by_seed[order] = dict(zip(runs["seed"], 100 * runs["average"], strict=True))
            low, high, over = interval_of(runs, "average", 100.0).values()
            mean = fmean(by_seed[order].values())
            cells[order] = cell(mean, low, high, over, runs["seed"].tolist())
    if len(cells) == len(group):
        value = fmean(cells[order]["value"] for order in group)
        seeds = cells[group[0]]["seeds"]
        cells[span(group)] = cell(value)
        if len(seeds) > 1 and all(cells[order]["seeds"] == seeds for order in group):
            each = [fmean(by_seed[order][seed] for order in group) for seed in seeds]
            cells[span(group)] = cell(value, *seed_interval(each).interval, "seeds", seeds)
    for word, name in (("forgetting", "forgetting"), ("learning", "learning_accuracy")):
        # Each order's mean over seeds, and the mean of these.
        means = [100 * fmean(r[name]) for r in orders.values() if r[name].notna().all()]
        if means and len(means) == len(orders):
            cells[f"{word} {span(group)}"] = cell(fmean(means))
    return cells


def sources(lines: Sequence[DataFrame]) -> list[str]:
    """Name each line of one method.

    By the model where it is not the table's, the version where there are several, form and rates,
    and where these leave two alike also by name and settings.
    """
    several = len({line["method_version"].iloc[0] for line in lines}) > 1
    firsts: list[Record] = [line["record"].iloc[0] for line in lines]
    told: list[str] = []
    for line, first in zip(lines, firsts, strict=True):
        rates = sorted({*line["rate"].dropna()})
        parts = {
            OURS: True,
            short(first.model.name): line["other_model"].iloc[0],
            f"version {first.method_version}": several,
            "LoRA form": setting(first.settings, "method.trainable") == "lora",
            f"rate {' to '.join(f'{rate:g}' for rate in dict.fromkeys(rates[:1] + rates[-1:]))}": (
                rates
            ),
        }
        told.append(", ".join(part for part, holds in parts.items() if holds))
    for further in (lambda record: record.name, lambda record: files.digest(record.settings)[:8]):
        if len(set(told)) < len(told):
            told = [f"{each}, {further(run)}" for each, run in zip(told, firsts, strict=True)]
    return told


def shown(found: Mapping[str, Any] | None) -> str:
    """Show a number, and its interval in the brackets that tell what it is over."""
    if found is None:
        return DASH
    value = rounded(found["value"])
    if found["low"] is None:
        return value
    return f"{value} {bracketed(found['low'], found['high'], found['interval'], rounded)}"


def rounded(value: float) -> str:
    """One decimal, halves away from zero as published figures are rounded; a zero has no sign."""
    exact = Decimal(str(value)).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"{MINUS if exact < 0 else ''}{abs(exact)}"


def notes_of(
    table: Mapping[str, Any], runs: DataFrame, missing: Mapping[str, Sequence[str]]
) -> list[str]:
    """Say which cells (a method in an order) have no run, and where rows of data differed."""
    said: list[str] = []
    if missing:
        cells = len(table["methods"]) * sum(map(len, table["groups"]))
        empty = sum(map(len, missing.values()))
        listed = "; ".join(f"{label} {', '.join(orders)}" for label, orders in missing.items())
        said.append(f"No run: {empty} of {cells} cells ({listed}).")
    data = runs.groupby("order")["stream"].nunique()
    if mixed := [order for group in table["groups"] for order in group if data.get(order, 0) > 1]:
        said.append(f"Not all of ours had the same rows of data, in orders: {', '.join(mixed)}.")
    return said


def legend(
    table: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    numbers: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Say what the marks mean, and what the published numbers are worth."""
    said = [MEASURES]
    said += [meaning for name, meaning in MARKS.items() if any(row[name] for row in rows)]
    if any(row["read"] == "secondary" for row in rows):
        said.append(f"{SECONDARY} secondary: not read in the source itself.")
    kinds = {each["interval"] for each in numbers}
    said += [meaning for kind, meaning in OVER.items() if kind in kinds]
    said += table["remarks"]
    sources = table["sources"]
    return [*said, *(f"{each['label']}: {each['cite']}; {each['setting']}." for each in sources)]
