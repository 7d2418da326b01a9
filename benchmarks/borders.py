"""Measure how soon borders between tasks are found on the reference data, and how many wrongly.

    AMLORA_DATA_ROOT=DIR python benchmarks/borders.py --out FILE.json
    python benchmarks/borders.py --show FILE.json

Train rows of each order arrive as in a run with `stream.boundaries = "found"`, read by tokenizer
and input embeddings of the quick-start model; no forward pass is needed. A seed decides which rows
of a task are drawn, and their order. Prints a table; with `--out` all numbers are kept.
"""

import argparse
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from amlora import files
from amlora.engine.backbone import Backbone
from amlora.engine.borders import find_borders
from amlora.engine.load import load_backbone
from amlora.engine.route import vector_of
from amlora.engine.settings import ModelSettings
from amlora.engine.token_cache import TokenCache
from amlora.streams import catalogue
from amlora.streams.arrival import arrivals, compare, true_borders
from amlora.streams.load import load_stream
from amlora.streams.settings import DetectionSettings, StreamSettings

Vectors = dict[str, Tensor]
"""(rows, D) of each task, by name."""
HEADINGS = (
    *("order", "border", "rows", "borders", "found", "delay: median", "90 %", "longest"),
    *("false alarms", "per 10,000 rows"),
)
ALL = "all"
"""Stands for the orders together."""


def main() -> None:
    """Measure, or show what was measured."""
    chosen = arguments()
    if chosen.show:
        print(table(files.read_json(chosen.show)["measured"]))
        return
    root = os.environ.get("AMLORA_DATA_ROOT", "")
    if not root:
        raise SystemExit("AMLORA_DATA_ROOT is not set: the folder of the reference data.")
    torch.set_num_threads(1)
    detection = DetectionSettings(
        window=chosen.window, least=chosen.least, false_alarm=chosen.false_alarm
    )
    backbone = load_backbone(ModelSettings(device="cpu"))
    measured: list[dict[str, Any]] = []
    vectors: Vectors = {}
    for seed in range(chosen.seeds):
        for order in chosen.orders:
            vectors |= read(backbone, order, root, seed, chosen, known=vectors)
        for order in chosen.orders:
            for border in chosen.borders:
                found = measure(order, border, seed, vectors, detection)
                measured.append(found)
                print(line(found), flush=True)
        vectors = {}
    print(f"\n{table(measured)}")
    if chosen.out:
        settings = {
            "model": backbone.name,
            "form": chosen.form,
            "rows_per_task": chosen.rows,
            "window": detection.window,
            "least": detection.least,
            "false_alarm": detection.false_alarm,
            "seeds": chosen.seeds,
        }
        files.write_json(chosen.out, {"settings": settings, "measured": measured})


def arguments() -> argparse.Namespace:
    """Read the command line."""
    usual = DetectionSettings()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", nargs="+", default=[*catalogue.orders()])
    parser.add_argument("--borders", nargs="+", type=float, default=[0.0, 0.2])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=160, help="train rows of each task, at most")
    parser.add_argument("--form", choices=["full", "blind"], default="full")
    parser.add_argument("--window", type=int, default=usual.window)
    parser.add_argument("--least", type=int, default=usual.least)
    parser.add_argument("--false-alarm", type=float, default=usual.false_alarm)
    parser.add_argument("--out", type=Path, help="a JSON file for all numbers")
    parser.add_argument("--show", type=Path, help="print the table of such a file")
    return parser.parse_args()


def read(
    backbone: Backbone,
    order: str,
    root: str,
    seed: int,
    chosen: argparse.Namespace,
    *,
    known: Vectors,
) -> Vectors:
    """Return the vectors of an order's tasks that are not known yet, in the order of arrival."""
    stream = StreamSettings(
        order=order, data_root=root, train_per_task=chosen.rows, sample_seed=seed
    )
    if set(catalogue.orders()[order]) <= known.keys():
        return {}
    tasks = [task for task in load_stream(stream)[0].tasks if task.name not in known]
    cache = TokenCache(backbone, prefix="off", form=chosen.form)
    return {
        task.name: torch.stack([vector_of(backbone, row.prompt_ids) for row in rows])
        for task in tasks
        for rows, _ in [cache.rows(task, task.train)]
    }


def measure(
    order: str, border: float, seed: int, vectors: Vectors, detection: DetectionSettings
) -> dict[str, Any]:
    """Find the borders of one order in the rows of one seed."""
    names = catalogue.orders()[order]
    sequence = arrivals(names, [len(vectors[name]) for name in names], border, seed)
    rows = (vectors[names[at.task]][at.row] for at in sequence)
    found = find_borders(rows, detection).starts
    true = true_borders(sequence)
    outcome = compare(found, true)
    return {
        "order": order,
        "border": border,
        "seed": seed,
        "rows": len(sequence),
        "true": true,
        "found": found,
        "delays": list(outcome.delays),
        "false_alarms": outcome.false_alarms,
    }


def line(found: dict[str, Any]) -> str:
    """Say how one order went."""
    delays = " ".join("missed" if delay is None else str(delay) for delay in found["delays"])
    return (
        f"order {found['order']}, border {found['border']:g}, seed {found['seed']}:"
        f" {found['false_alarms']} false alarms; delays {delays}"
    )


def table(measured: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table: a line for each border and order, over seeds, then for all."""
    lines = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *rows_of(measured)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def rows_of(measured: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Give the table's rows."""
    orders = list(dict.fromkeys(each["order"] for each in measured))
    for border in dict.fromkeys(each["border"] for each in measured):
        for order in (*orders, ALL):
            chosen = [
                each
                for each in measured
                if each["border"] == border and order in (each["order"], ALL)
            ]
            delays = [delay for each in chosen for delay in each["delays"]]
            known = sorted(delay for delay in delays if delay is not None)
            rows = sum(each["rows"] for each in chosen)
            alarms = sum(each["false_alarms"] for each in chosen)
            late = (
                [str(quantile(known, share)) for share in (0.5, 0.9, 1.0)] if known else ["-"] * 3
            )
            yield (
                *(order, f"{border:g}", f"{rows:,}", str(len(delays)), str(len(known)), *late),
                *(str(alarms), f"{1e4 * alarms / rows:.2f}"),
            )


def quantile(values: Sequence[int], share: float) -> int:
    """Return the smallest value that so many of the sorted values do not exceed."""
    return values[math.ceil(share * len(values)) - 1]


if __name__ == "__main__":
    main()
