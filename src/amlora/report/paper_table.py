"""The paper's tables 1 and 2: published numbers, reruns and own runs side by side, as values.

Runs of another base model or another protocol (`paper`, `clean`, or what differs from them) are
another table, whose heading names both. Nothing is ranked: the sources differ in rows and settings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from amlora import files
from amlora.records.run import StoredRun as Run
from amlora.report.methods_table import Facts, examples_kept
from amlora.report.paper_lines import Cell, Line, cells_of, lines_of, order_of
from amlora.report.published import Published, PublishedRow, Source, published, span

OURS = "ours"
NOT_RECORDED = "not recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One method by one source; cells are by column, and a column without one is empty."""

    method: str
    label: str
    source: str
    """Whose numbers: a published source's label, or "ours" with what tells the line apart."""
    read: str
    """"primary" or "secondary" for published numbers, "own" for runs."""
    cells: Mapping[str, Cell]
    needs_task_id: bool = False
    stores_examples: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one table's own runs have in common."""

    model: str
    fingerprint: str
    own_model: bool
    """Whether the base model is the one that the published numbers are of."""
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTable:
    """One table; `side` is None where there is no run of it."""

    number: str
    published: Published
    side: Side | None
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    missing: tuple[str, ...]
    """Methods of the table with the orders that have no run."""
    empty: int
    """How many cells (a method in an order) have no run."""
    expected: int
    """How many cells there are."""
    mixed: tuple[str, ...]
    """Orders whose own runs did not all have the same rows."""


def columns_of(table: Published) -> tuple[str, ...]:
    """Return orders, average, forgetting and learning accuracy for each group of orders."""
    return tuple(
        column
        for group in table.groups
        for column in (*group, span(group), f"forgetting {span(group)}", f"learning {span(group)}")
    )


def paper_tables(
    number: str,
    runs: Sequence[Run],
    *,
    orders: Mapping[str, Sequence[str]],
    protocols: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Facts],
) -> tuple[list[PaperTable], list[str]]:
    """Make one of the paper's tables for each base model and protocol of some runs.

    Args:
        number: "1" or "2".
        runs: finished ones that were scored on test rows; others than the paper's are left out.
        orders: the tasks of the paper's orders.
        protocols: settings by dotted key that decide a protocol, by its name.
        facts: what methods need, by their names.

    Returns:
        The tables, those of the paper's base model first; without any run one table of published
        numbers. And a line for each kind of run that was left out.
    """
    tables = published()
    table = tables[number]
    wanted = {order for group in table.groups for order in group}
    others = [each for key, each in tables.items() if key != number]
    sides: dict[Side, list[tuple[str, Run]]] = {}
    left = {"other": 0, "model": 0}
    for run in runs:
        model = run.record.model
        order = order_of(run, orders)
        if order not in wanted:
            left["other"] += 1
        elif any(other.is_of(model.name, model.parameters) for other in others):
            left["model"] += 1
        else:
            side = Side(
                model=model.name,
                fingerprint=model.fingerprint or "",
                own_model=table.is_of(model.name, model.parameters),
                protocol=protocol_of(run.record.settings, protocols),
            )
            sides.setdefault(side, []).append((order, run))
    notes: list[str] = []
    if left["other"]:
        named = ", ".join(sorted(wanted))
        notes.append(f"Left out: runs that are not of orders {named}: {left['other']}.")
    if left["model"]:
        notes.append(f"Left out: runs of the other table's base model: {left['model']}.")
    if not sides:
        return [table_of(number, table, None, [], facts)], notes

    def rank(side: Side) -> tuple[bool, str, str, str]:
        return not side.own_model, side.model, side.fingerprint, side.protocol

    return [
        table_of(number, table, side, sides[side], facts) for side in sorted(sides, key=rank)
    ], notes


def protocol_of(settings: Mapping[str, Any], protocols: Mapping[str, Mapping[str, Any]]) -> str:
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


def setting(settings: Mapping[str, Any], key: str) -> object:
    """Return a recorded setting by its dotted key."""
    section, _, name = key.partition(".")
    table = settings.get(section)
    return table.get(name, NOT_RECORDED) if isinstance(table, Mapping) else NOT_RECORDED


def table_of(
    number: str,
    table: Published,
    side: Side | None,
    runs: Sequence[tuple[str, Run]],
    facts: Mapping[str, Facts],
) -> PaperTable:
    """Put one table together."""
    labels = {method.name: method.label for method in table.methods}
    by_method: dict[str, list[tuple[str, Run]]] = {}
    data: dict[str, set[str]] = {}
    for order, run in runs:
        data.setdefault(order, set()).add(run.record.stream_digest)
        by_method.setdefault(run.record.method, []).append((order, run))
    rows: list[TableRow] = []
    missing: list[str] = []
    empty = 0
    orders = [order for group in table.groups for order in group]
    for method in (*labels, *sorted(set(by_method) - set(labels))):
        label = labels.get(method, method)
        rows.extend(published_rows(table, method, label, facts))
        lines = lines_of(by_method.get(method, []))
        sources = our_sources(lines, side)
        for source, line in sorted(zip(sources, lines, strict=True), key=lambda item: item[0]):
            cells: dict[str, Cell] = {}
            for group in table.groups:
                cells |= cells_of(line, group)
            made = row(method, label, source, "own", cells, facts)
            learned = [run for each in line.runs.values() for run in each]
            keeps = bool(examples_kept(learned, facts.get(method)))
            rows.append(replace(made, stores_examples=keeps))
        if method in labels:
            there = {order for line in lines for order in line.runs}
            if absent := [order for order in orders if order not in there]:
                missing.append(f"{label} {', '.join(absent)}")
                empty += len(absent)
            if not lines:
                rows.append(row(method, label, OURS, "own", {}, facts))
    return PaperTable(
        number=number,
        published=table,
        side=side,
        columns=columns_of(table),
        rows=tuple(rows),
        missing=tuple(missing),
        empty=empty,
        expected=len(labels) * len(orders),
        mixed=tuple(order for order in orders if len(data.get(order, ())) > 1),
    )


def row(
    method: str,
    label: str,
    source: str,
    read: str,
    cells: Mapping[str, Cell],
    facts: Mapping[str, Facts],
) -> TableRow:
    """Make a row that needs what its method needs."""
    known = facts.get(method)
    return TableRow(
        method=method,
        label=label,
        source=source,
        read=read,
        cells=cells,
        needs_task_id=bool(known and known.needs_task_id),
        stores_examples=bool(known and known.stores_examples),
    )


def published_rows(
    table: Published, method: str, label: str, facts: Mapping[str, Facts]
) -> Iterator[TableRow]:
    """Give the published numbers of a method, the paper's own first."""
    for source in table.sources:
        for found in source.rows:
            if found.method == method:
                cells = published_cells(table, found)
                yield row(method, label, source_label(source, found), source.read, cells, facts)


def source_label(source: Source, found: PublishedRow) -> str:
    """Name a source in a row."""
    return f"{source.label} ({found.variant})" if found.variant else source.label


def published_cells(table: Published, found: PublishedRow) -> dict[str, Cell]:
    """Return published numbers by column; forgetting and the like as means over their orders."""
    cells = {column: Cell(value=value) for column, value in found.values.items()}
    for group in table.groups:
        for name, known in (
            ("forgetting", found.forgetting),
            ("learning", found.learning_accuracy),
        ):
            if values := [known[order] for order in group if order in known]:
                cells[f"{name} {span(group)}"] = Cell(value=fmean(values))
    return cells


def our_sources(lines: Sequence[Line], side: Side | None) -> list[str]:
    """Name each line of one method.

    By the model where it is not the table's, the version where there are several, form and rates,
    and where these leave two alike also by name and settings.
    """
    several = len({str(line.any_run.record.method_version) for line in lines}) > 1
    told: list[list[str]] = []
    for line in lines:
        parts: list[str] = []
        if side and not side.own_model:
            parts.append(short(side.model))
        if several:
            parts.append(f"version {line.any_run.record.method_version}")
        method = line.any_run.record.settings.get("method")
        if isinstance(method, Mapping) and method.get("trainable") == "lora":
            parts.append("LoRA form")
        if rates := line.rates:
            parts.append(f"rate {' to '.join(f'{rate:g}' for rate in (rates[0], *rates[1:][-1:]))}")
        told.append(parts)
    if len({tuple(parts) for parts in told}) < len(told):
        for parts, line in zip(told, lines, strict=True):
            parts.append(line.any_run.record.name)
    if len({tuple(parts) for parts in told}) < len(told):
        for parts, line in zip(told, lines, strict=True):
            parts.append(files.digest(line.any_run.record.settings)[:8])
    return [", ".join([OURS, *parts]) for parts in told]


def short(model: str) -> str:
    """Return the last part of a model's name."""
    return model.replace("\\", "/").rstrip("/").rpartition("/")[2]
