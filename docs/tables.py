"""Fills the tables of the pages from the kept records: python docs/tables.py.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a function below. Numbers
come from `amlora.results`, from what `amlora table` prints as JSON, and from what the scripts of
`benchmarks/` print, as anybody can get them.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from pandas import DataFrame
from pydantic import BaseModel

import amlora
from amlora.cli.table import Kind, sheets_of
from amlora.evaluate.lost import Lost
from amlora.methods import METHODS
from amlora.mixture import manifest as stored
from amlora.printable import markdown_safe
from amlora.records import beside, schema, skills
from amlora.report.write import write
from amlora.settings import described

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "results"
BENCHMARKS = DOCS.parent / "benchmarks"
BLOCK = re.compile(r"(<!-- table: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
NONE = "\N{EN DASH}"
MEASURED = (
    ("quick start", "results", "methods", "sms, bbc, movies"),
    ("order 1", "anchored", "anchored-orders", "dbpedia, amazon, yahoo, agnews"),
)
"""Where the methods' own pages take their lines: words, page, pack, tasks."""


@cache
def printed(kind: str, *studies: str, against: str | None = None) -> list[dict[str, Any]]:
    """Return the tables that `amlora table KIND STUDIES --format json` prints."""
    folders = [str(RESULTS / study) for study in studies]
    sheets, notes = sheets_of(Kind(kind), folders, None, against)
    return json.loads(write(sheets, "json", notes))["tables"]


def as_markdown(table: DataFrame) -> str:
    """Write a table of text; all columns but the first stand to the right."""
    heading = [str(name) for name in table]
    rule = ["---", *(["---:"] * (len(heading) - 1))]
    rows = [heading, rule, *table.fillna(NONE).astype(str).to_numpy().tolist()]
    return "\n".join(
        f"| {' | '.join(cell if row is rule else markdown_safe(cell) for cell in row)} |"
        for row in rows
    )


def one_decimal(fraction: float | None, signed: bool = False) -> str:
    """Show a fraction as per cent or points."""
    if fraction is None or pd.isna(fraction):
        return NONE
    value = round(100 * fraction, 1) + 0.0
    return (f"{value:+.1f}" if signed and value else f"{value:.1f}").replace("-", "\N{MINUS SIGN}")


def gap(pair: Mapping[str, Any] | None) -> str:
    """Show a difference with its interval."""
    if pair is None:
        return NONE
    low, high = one_decimal(pair["low"], signed=True), one_decimal(pair["high"], signed=True)
    return f"{one_decimal(pair['difference'], signed=True)} ({low} to {high})"


def on_test(study: str) -> DataFrame:
    """Return a study's runs that were scored on test rows."""
    runs = amlora.results(RESULTS / study)
    return runs[runs["split"] == "test"]


def means(runs: DataFrame, value: str, signed: bool = False) -> dict[str, str]:
    """Return the mean of a value over the runs of each name."""
    found = runs.groupby("name")[value].agg(fmean)  # whatever the order of the runs
    return {str(name): one_decimal(mean, signed) for name, mean in found.items()}


def anchored() -> str:
    """Everything beside anchored_lora, in three settings."""
    runs = on_test("anchored-orders")
    first = runs[runs["order"] == "1"]
    pairs = {
        row["label"]: row
        for row in printed("pairs", "anchored-orders", against="anchored_lora")[-1]["rows"]
    }
    blind, more = on_test("anchored-blind"), on_test("anchored-more")
    blind = blind[blind["order"] == "1"]
    table = DataFrame(
        {
            "order 1, %": means(first, "average"),
            "its BWT, points": means(first, "bwt", signed=True),
            "against anchored_lora, points": {
                name: gap(pairs.get(name)) for name in set(first["name"])
            },
            "runs": {str(name): str(count) for name, count in runs.groupby("name").size().items()},
            "without instruction, %": means(blind, "average"),
            "more training, %": means(more, "average"),
        }
    ).loc[sorted(set(first["name"]))]
    return as_markdown(table.rename_axis("method").reset_index())


def orders() -> str:
    """The paper's orders, each method's average and what it lost."""
    runs = pd.concat([on_test("order1"), on_test("orders23")])
    fourth = on_test("order4")
    by_order = {
        f"order {order}, %": means(runs[runs["order"] == order], "average")
        for order in ("1", "2", "3")
    }
    table = DataFrame(
        {
            **by_order,
            "BWT, points": means(runs, "bwt", signed=True),
            "order 4, %": means(fourth, "average"),
            "trained": {
                str(name): f"{count / 1e6:.2f} M"
                for name, count in runs.groupby("name")["trained"].max().items()
            },
        }
    ).sort_index()
    return as_markdown(table.rename_axis("method").reset_index())


def methods() -> str:
    """The comparison of the paper's methods on the quick start's texts."""
    [sheet] = printed("methods", "methods")
    rows = [row for row in sheet["rows"] if row["method"]]
    marked = [
        row["label"]
        + " \N{DAGGER}" * row["needs_task_id"]
        + " \N{DOUBLE DAGGER}" * row["stores_examples"]
        for row in rows
    ]
    lost = [one_decimal(row["forgetting"]) for row in rows]
    table = DataFrame([cells(row) for row in rows])
    table.insert(0, "method", marked)
    table.insert(2, "forgetting, points", lost)
    return as_markdown(table)


def method(name: str) -> str:
    """One method on the quick start's texts and on the paper's order 1, a row each."""
    rows = [
        {"on": f"[{words}](../{page}.md)", "seeds": f"{len(row['seeds'])}", **cells(row)}
        for words, page, study, tasks in MEASURED
        for sheet in printed("methods", study)
        for row in sheet["rows"]
        if row["label"] == name and ", ".join(row["tasks"]) == tasks
    ]
    return as_markdown(DataFrame(rows)).replace("\\](", "](")  # what stands there is a link


def cells(row: Mapping[str, Any]) -> dict[str, str]:
    """Show what was measured of a method."""
    low, high = one_decimal(row["average_low"]), one_decimal(row["average_high"])
    return {
        "average, %": f"{one_decimal(row['average'])} ({low} to {high})",
        "BWT, points": one_decimal(row["bwt"], signed=True),
        "trained": f"{row['trainable_parameters']:,.0f}",
        "stored, MB": f"{row['stored_megabytes']:.1f}",
        "time": f"{row['seconds'] / 60:.1f} min",
        "rate": f"{row['rate']:g}",
    }


def rates() -> str:
    """Dev scores of the quick start's methods at each rate."""
    runs = amlora.results(RESULTS / "quickstart").query("split == 'dev'")
    scores = amlora.results(RESULTS / "quickstart", table="scores")
    last = scores[scores["stage"] == scores.groupby("run")["stage"].transform("max")]
    tasks = list(dict.fromkeys(last["task"]))
    by_task = last.pivot(index="run", columns="task", values="score")[tasks]
    table = runs.set_index("run").join(by_task).sort_values(["method", "train.lr"])
    shown = {name: table[name].map(one_decimal) for name in (*tasks, "average")}
    return as_markdown(
        DataFrame(
            {"method": table["method"], "rate": table["train.lr"].map("{:g}".format), **shown}
        )
    )


def strengths() -> str:
    """Dev scores of a first task under each strength of n_lora's term."""
    runs = amlora.results(RESULTS / "n_lora-strength").sort_values("method.strength")
    return as_markdown(
        DataFrame(
            {
                "strength": runs["method.strength"].map("{:g}".format),
                "dev score, %": runs["average"].map(one_decimal),
            }
        )
    )


def fields(kind: type[BaseModel], title: str = "") -> str:
    """The fields of a kind of file, or of a part of it, from their docstrings."""
    about = " ".join((kind.__doc__ or "").split())
    rows = [
        f"| `{name}` | {' '.join((field.description or described(field.annotation)).split())} |"
        for name, field in kind.model_fields.items()
    ]
    head = f"`{title}`: {about[0].lower()}{about[1:]}\n\n" if title else ""
    return head + "\n".join(["| key | holds |", "|---|---|", *rows])


def record() -> str:
    """What record.json holds."""
    return fields(schema.Record) + "\n| `digest` | sha256 of all the rest of the record |"


def parts() -> str:
    """What the parts of a record hold."""
    kinds = {
        **{"model": schema.Model, "adapted": schema.Adapted, "tasks": schema.TaskFacts},
        **{"lost": Lost, "stages": schema.StageFacts, "metrics": schema.Metrics},
        **{"evaluation": schema.Evaluated, "routing": schema.Routing},
        **{"general": schema.Unrelated, "boundaries": schema.Boundaries},
    }
    return "\n\n".join(fields(kind, name) for name, kind in kinds.items())


def choice() -> str:
    """What a choice of a learning rate holds."""
    seal = "\n| `digest` | sha256 of all the rest; an altered choice is refused |\n\n"
    return fields(beside.Choice) + seal + fields(beside.Candidate, "candidates")


def manifest() -> str:
    """What the manifest of a version of skills holds."""
    seal = "\n| `digest` | sha256 of all the rest; an altered manifest is refused |"
    kinds = {"base": stored.Base, "loras": stored.StoredLoRA, "skills": stored.StoredSkill}
    inner = [fields(kind, name) for name, kind in kinds.items()]
    return "\n\n".join([fields(stored.Manifest) + seal, *inner])


def standing() -> str:
    """What the scores of a version of learned skills hold."""
    kinds = {"changes": skills.Change, "astray": skills.Astray, "gate": skills.Gate}
    inner = [fields(kind, name) for name, kind in kinds.items()]
    return "\n\n".join([fields(skills.Standing), *inner])


@cache
def measured(script: str, results: str, *words: str) -> str:
    """Return the table that a script of `benchmarks/` prints as Markdown."""
    command = [sys.executable, str(BENCHMARKS / script), str(BENCHMARKS / "results" / results)]
    told = subprocess.run(
        [*command, *words, "--format", "markdown"], check=True, capture_output=True, text=True
    )
    return "\n".join(line for line in told.stdout.splitlines() if line.startswith("|"))


TABLES: dict[str, Callable[[], str]] = {
    "record": record,
    "parts": parts,
    "measured": lambda: fields(beside.Measured),
    "decision": lambda: fields(beside.Decision),
    "attention": lambda: fields(beside.Attention),
    "choice": choice,
    "manifest": manifest,
    "learned": lambda: fields(skills.Learned),
    "kept": lambda: fields(skills.KeptRow),
    "standing": standing,
    "anchored": anchored,
    "orders": orders,
    "methods": methods,
    "rates": rates,
    "strengths": strengths,
    "skills": lambda: measured("skills_tables.py", "skills-smollm2-135m.jsonl"),
    "router": lambda: measured("router_tables.py", "router-smollm2-135m.json", "page"),
    **{f"method {name}": partial(method, name) for name in METHODS},
}


def filled(page: str) -> str:
    """Return a page with its tables made again."""
    return BLOCK.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", page)


def main() -> None:
    """Write every page whose tables have changed."""
    for path in sorted(DOCS.rglob("*.md")):
        old = path.read_text(encoding="utf-8")
        if (new := filled(old)) != old:
            path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
