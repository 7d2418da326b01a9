"""Measure speed and memory: prints rows and keeps them under benchmarks/results.

A new benchmark is a module with `rows(*, quick)` and its name in BENCHMARKS.
"""

import argparse
import dataclasses
import importlib
import sys
from pathlib import Path

from machine import busy, file_name, machine
from row import Row

from amlora import files

BENCHMARKS = ("layer", "step", "scoring", "start")
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run the chosen benchmarks; return 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, action="append", help="run these alone")
    parser.add_argument("--quick", action="store_true", help="few samples; nothing is kept")
    chosen = parser.parse_args()
    names: tuple[str, ...] = tuple(chosen.only or BENCHMARKS)
    here = machine()
    print(", ".join(f"{key} {value}" for key, value in here.items()))
    noise = busy()
    if noise:
        print(f"{noise}: times are unreliable, nothing is kept")
    missed: list[str] = []
    for name in names:
        measured: list[Row] = []
        for row in importlib.import_module(name).rows(quick=chosen.quick):
            print(row.line(), flush=True)
            measured.append(row)
        missed += [row.name for row in measured if not row.met]
        if not chosen.quick and not noise:
            keep(name, measured, here)
    print("bench: all bars met" if not missed else f"bench: missed: {'; '.join(missed)}")
    return 1 if missed else 0


def keep(name: str, rows: list[Row], here: dict[str, str | int]) -> None:
    """Store one benchmark's rows beside the others' of this machine."""
    path = RESULTS / f"{file_name(here)}.json"
    record = files.read_json(path) if path.is_file() else {"benchmarks": {}}
    record["benchmarks"][name] = {
        "machine": here,
        "rows": [dataclasses.asdict(row) | {"met": row.met} for row in rows],
    }
    RESULTS.mkdir(exist_ok=True)
    files.write_json(path, record)


if __name__ == "__main__":
    sys.exit(main())
