"""The report: one HTML file that needs nothing else, and no script, from finished runs.

This file gathers what is shown; `templates/` says how. Jinja escapes every text, and the only
markup let through are the drawings, which escape their own.
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pandas import DataFrame

from amlora.errors import InputError, nearest
from amlora.printable import printable
from amlora.records.beside import Choice
from amlora.records.frames import flat
from amlora.records.run import StoredRun
from amlora.records.schema import Metrics, Record
from amlora.report import compare, figures, format, matrix, run_page, schemes, style
from amlora.report.methods import methods_sheets
from amlora.report.pairs import REFERENCE, pairs_sheet, pairs_tables
from amlora.report.paper import OURS, order_of, paper_sheets, protocol_of
from amlora.report.studies import Study, attentive, studies
from amlora.report.write import Sheet

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")
FEW = 4
"""So many runs are shown in full one below the other; more are folded and their attention is not
drawn one by one."""
MOST_PANELS = 16  # of one figure; its table has the rest
MOST_PROTOCOLS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a page needs beside runs; what rests on something that is left out does not appear."""

    facts: Mapping[str, Mapping[str, bool]] = field(default_factory=dict[str, Mapping[str, bool]])
    """What methods need, by their names."""
    choices: Sequence[Choice] = ()
    """Of learning rates."""
    orders: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Tasks of the paper's orders, by their numbers."""
    protocols: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Settings by dotted key that decide a protocol, by its name."""
    against: str | None = None
    """The line that all others are compared with."""


def build_page(runs: Sequence[StoredRun], known: Known | None = None) -> str:
    """Return the report as a self-contained HTML page; equal runs give equal text.

    Args:
        runs: those scored on dev rows are listed with the choice of learning rates, unless there
            are no others.
        known: what the runs do not tell.

    Raises:
        InputError: no run, the same run twice, or no line to compare with of the name asked for.
    """
    known = known or Known()
    scored = [run for run in runs if split(run.record) != "dev"]
    trials = [run for run in runs if split(run.record) == "dev"] if scored else []
    shown = scored or list(runs)
    if not shown:
        raise InputError("a report needs at least one run.")
    told = compare.with_facts(compare.told(shown), known.facts)
    found = studies(shown, runs=compare.with_choices(told, known.choices))
    found.sort(key=lambda study: rank(study, known))
    labels = list(dict.fromkeys(label for study in found for label in study.runs["label"]))
    if known.against not in (None, *labels):
        raise InputError(
            f"no line {known.against!r} to compare with; there are {', '.join(labels)}"
            f"{nearest(known.against, labels) or '.'}"
        )
    few = len(shown) <= FEW
    starts = itertools.accumulate((len(study.runs) for study in found), initial=1)
    streams = [
        stream(study, title, known, start, few=few)
        for study, title, start in zip(found, titles(found, known), starts, strict=False)
    ]
    environment = page_environment()
    named = {each.run for choice in known.choices for each in choice.candidates}
    return environment.get_template("page.html.jinja").render(
        streams=streams,
        paper=paper(told, known),
        choices=known.choices,
        trials=sorted(trials, key=lambda run: run.name),
        named=named,
        few=few,
        run_page=run_page,
        attentive=attentive,
        flat=flat,
        split=split,
        matrix=matrix,
        metrics=Metrics.model_fields,
        in_points=format.METRICS,
    )


def page_environment() -> "Environment":
    """Return what fills the templates of one page: all is escaped, but the drawings it paints."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    salts = itertools.count()

    def drawing(paint: Callable[..., str], *what: Any) -> Markup:
        return Markup(paint(*what, f"drawing-{next(salts)}"))

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shows = ("percent", "points", "unsigned", "metric", "count", "nats", "seconds", "size")
    environment.filters |= {name: getattr(format, name) for name in shows}
    environment.filters |= {"whole": "{:,}".format, "json": partial(json.dumps, ensure_ascii=False)}
    environment.globals |= {
        "palette": style.PALETTE,
        "panel": partial(drawing, style.panel_svg),
        "key": partial(drawing, style.key_svg),
        "most_panels": MOST_PANELS,
        "dash": format.MISSING,
    }
    return environment


def split(record: Record) -> str:
    """Return which rows a run scored."""
    return str(record.settings.get("evaluate", {}).get("split", ""))


def rank(study: Study, known: Known) -> tuple[object, ...]:
    """Return the place of a stream among others: the paper's orders first, by their numbers."""
    record = study.first
    order = order_of(record, known.orders) or ""
    names = record.model.name, record.model.fingerprint or ""
    return not order, len(order), order, study.tasks, *names, record.stream_digest


def titles(found: Sequence[Study], known: Known) -> list[str]:
    """Name the streams of a page: by the paper's order, or their tasks, and as far as needed."""
    if len(found) == 1:
        return ["Comparison" if len(found[0].runs) > 1 else "Result"]
    named: list[str] = []
    for study in found:
        order, tasks = order_of(study.first, known.orders), study.tasks
        several = f"{len(tasks)} tasks from {tasks[0]} to {tasks[-1]}"
        name = f"Order {order}" if order else ", ".join(tasks) if len(tasks) <= 5 else several
        named.append(f"{name} on {study.model}")
    if len(set(named)) < len(named):
        records = [study.first for study in found]
        named = [
            f"{name}, stream {of.stream_digest[:8]}, weights {(of.model.fingerprint or '')[:8]}"
            for name, of in zip(named, records, strict=True)
        ]
    return named


def stream(study: Study, title: str, known: Known, first_run: int, *, few: bool) -> dict[str, Any]:
    """Gather what the page shows of one stream and base model.

    Args:
        study: its runs.
        title: its name on the page.
        known: what the runs do not tell.
        first_run: the number on the page of the first of them.
        few: whether all runs are shown in full.
    """
    methods = methods_sheets(study.runs)
    table = methods[0].values
    assert table is not None
    seeds = study.runs.groupby("label")["seed"].transform("size") > 1
    several = study.runs["label"] + ", seed " + study.runs["seed"].astype(str)
    shown = study.runs.assign(
        anchor=[f"run-{first_run + at}" for at in range(len(study.runs))],
        title=several.where(seeds, study.runs["label"]),
    )
    links = {
        label: [(str(run.seed), run.anchor) for run in line.itertuples()]
        for label, line in shown.groupby("label", sort=False)
    }
    protocols = sorted({protocol(run.record, known) for run in study.stored.values()})
    rest = len(protocols) - MOST_PROTOCOLS
    pairs, notes = compared(study, known.against)
    return {
        "title": title,
        "record": study.first,
        "order": order_of(study.first, known.orders),
        "protocol": "; ".join(protocols[:MOST_PROTOCOLS] + [f"and {rest} more"] * (rest > 0)),
        "seeds": ", ".join(map(str, sorted(study.runs["seed"].unique()))),
        "methods": methods,
        "links": [links.get(label, []) for label in table["label"]],
        "pairs": pairs,
        "pair_notes": notes,
        "drawings": [
            figures.task_curves(study),
            *figures.figure_3(study),
            *([] if few else figures.figure_4(study)),
            *schemes.figure_5(study),
            *schemes.sparsity_sweep(study),
            *figures.picks(study),
        ],
        "runs": [(study.stored[run.run], run.title, run.anchor) for run in shown.itertuples()],
    }


def compared(study: Study, against: str | None) -> tuple[Sheet | None, list[str]]:
    """Return the lines against the reference line, and what could not be compared.

    It is the line asked for, else the one called as the method that others are compared with, else
    the only line of that method; without one there is nothing.
    """
    lines = study.runs.drop_duplicates("label")
    own = lines.loc[lines["method"] == REFERENCE, "label"].tolist()
    wanted = [name for name in (against, REFERENCE) if name in set(lines["label"])]
    if len(lines) < 2 or not (wanted := wanted or own * (len(own) == 1)):
        return None, []
    rows = compare.last_decisions(list(study.stored.values()))
    tables, notes = pairs_tables(study.runs, rows, wanted[0])
    return (pairs_sheet(tables[0]) if tables else None), notes


def protocol(record: Record, known: Known) -> str:
    """Name a run's protocol: the nearest one and what differs; always prompt form and prefix."""
    if known.protocols:
        return protocol_of(record.settings, known.protocols)
    stream = record.settings.get("stream", {})
    told = {"prompt form": stream.get("form"), "prefix": stream.get("prefix")}
    return ", ".join(f"{name} {value}" for name, value in told.items() if value)


def paper(told: DataFrame, known: Known) -> dict[str, Any] | None:
    """Return the paper's tables beside runs of its orders; None without such runs."""
    orders = [order_of(record, known.orders) for record in told["record"]]
    if not known.protocols or not any(orders):
        return None
    sheets: list[tuple[Sheet, list[bool]]] = []
    notes: list[str] = []
    for number in ("1", "2"):
        try:
            made, said = paper_sheets(
                number, told, orders=known.orders, protocols=known.protocols, facts=known.facts
            )
        except InputError as error:
            notes.append(f"Table {number} is not shown: {error}")
            continue
        bold = [[source.startswith(OURS) for source in sheet.shown["from"]] for sheet in made]
        own = [(sheet, rows) for sheet, rows in zip(made, bold, strict=True) if any(rows)]
        sheets += own
        notes += [f"Table {number}. {note}" for note in said if own]
    return {"sheets": sheets, "notes": notes} if sheets or notes else None
