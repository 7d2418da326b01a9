"""A made-up store: methods in two of the paper's orders with three seeds, variants, dev runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amlora.records.beside import Candidate, Choice
from amlora.report.page import Known

from .conftest import AM_LORA, SIN_LORA, MakeRun, attention_of, record_of

ORDERS: Mapping[str, Sequence[str]] = {
    "1": ("dbpedia", "amazon", "yahoo", "agnews"),
    "2": ("dbpedia", "amazon", "agnews", "yahoo"),
}
SEEDS = (0, 1, 2)
METHODS = ("am_lora", "ewc", "inc_lora", "l2p", "mtl", "replay", "seq_ft", "sin_lora")
ATTENTIVE = ("am_lora", "inc_lora")
LAYERS = 3
FACTS = {
    name: {"needs_task_id": name == "l2p", "stores_examples": name == "replay"} for name in METHODS
}
KNOWN = Known(
    facts=FACTS,
    orders=ORDERS,
    protocols={"clean": {"stream.form": "full", "train.epochs": 1.0}},
    choices=[
        Choice(
            label="am_lora",
            method="am_lora",
            rate=1e-3,
            task_digest="d1" * 32,
            model="f0" * 32,
            grid="g",
            rule="highest dev score",
            task="dbpedia",
            order=order,
            candidates=(
                Candidate(rate=1e-4, run="select-one", score=0.5, loss=0.75),
                Candidate(rate=1e-3, run="select-two", score=0.625, loss=0.25),
                Candidate(rate=1.0, problem="the loss is not a number"),
            ),
        )
        for order in ORDERS
    ],
)


def run_record(
    name: str,
    *,
    method: str = "",
    order: str = "1",
    seed: int = 0,
    split: str = "test",
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the record of a run in an order; scores depend on method and seed."""
    method = method or name
    place = METHODS.index(method) + seed
    base = AM_LORA if method in ATTENTIVE else SIN_LORA
    R = [base[0], *([round(max(v - place / 60, 0) * 60) / 60 for v in row] for row in base[1:])]
    if method == "mtl":
        R = [R[0], R[-1]]
    record = record_of(name, R, seed=seed, tasks=ORDERS[order])
    record["method"] = method
    for stage in record["stages"]:
        stage["stored_examples"] = 5 * (method == "replay")
    record["stream_digest"] = f"{order}a" * 32
    record["settings"] = {
        "name": name,
        "seed": seed,
        "stream": {"order": order, "form": "full", "prefix": "off"},
        "method": {"name": method, **(settings or {})},
        "train": {"lr": 1e-3},
        "evaluate": {"split": split},
    }
    return record


def am_lora_settings(selectors: str, sparsity: float) -> dict[str, Any]:
    """Return the settings that tell variants of AM-LoRA apart."""
    return {"selectors": selectors, "sparsity": sparsity, "sparsity_form": "loss"}


def picking(order: str) -> dict[str, Any]:
    """Return attention over all modules with the rate at which the right LoRA is picked."""
    attention = attention_of(ORDERS[order], LAYERS)
    modules = len(attention["modules"])
    attention["picked"] = [[(k % 10) / 10 for k in range(modules)] for _ in ORDERS[order]]
    return attention


def make_store(make_run: MakeRun) -> list[Path]:
    """Write runs of methods, nine of variants and two on dev rows; return their folders."""
    folders: list[Path] = []
    for order in ORDERS:
        for method in METHODS:
            settings = am_lora_settings("all", 1e-5) if method == "am_lora" else {}
            for seed in SEEDS:
                record = run_record(method, order=order, seed=seed, settings=settings)
                attention = picking(order) if method in ATTENTIVE else None
                folders.append(make_run(record, attention=attention, config="x = 1\n" * 60))
    for name, selectors, sparsity in (
        ("new-with-l1", "new", 1e-5),
        ("new-without-l1", "new", 0.0),
        ("all-without-l1", "all", 0.0),
    ):
        for seed in SEEDS:
            record = run_record(
                name, method="am_lora", seed=seed, settings=am_lora_settings(selectors, sparsity)
            )
            folders.append(make_run(record, attention=picking("1")))
    for name in ("select-am_lora", "select-sin_lora"):
        method = name.removeprefix("select-")
        folders.append(make_run(run_record(name, method=method, split="dev")))
    return folders
