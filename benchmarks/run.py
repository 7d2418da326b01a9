"""Measure speed and memory: prints rows and keeps them under benchmarks/results.

    python benchmarks/run.py                 everything
    python benchmarks/run.py layer step      these alone

A new benchmark is a module with `rows(size)` and its name in BENCHMARKS.
"""

import argparse
import dataclasses
import importlib
import sys
import time
from pathlib import Path

from machine import busy, file_name, machine
from row import Row
from size import Size

from amlora import files

BENCHMARKS = (
    "layer",
    "cost",
    "step",
    "peers",
    "utilisation",
    "scoring",
    "overhead",
    "demo",
    "methods",
    "anchored",
    "start",
)
UNTIMED = {"demo"}
"""What measures bytes alone, so that its figures are kept on a busy machine too."""
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run the chosen benchmarks; return 1 if a bar was missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="few samples; nothing is kept")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that it runs")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(BENCHMARKS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    size: Size = "smoke" if chosen.smoke else "quick" if chosen.quick else "full"
    here = machine()
    print(", ".join(f"{key} {value}" for key, value in here.items()))
    noise = "" if size == "smoke" else busy()
    if noise:
        print(f"{noise}: times are unreliable and not kept")
    missed: list[str] = []
    begun = time.perf_counter()
    for name in chosen.names or BENCHMARKS:
        measured = measure(name, size)
        missed += [row.name for row in measured if not row.met]
        if size == "full" and (not noise or name in UNTIMED):
            keep(name, measured, here)
    print(f"{time.perf_counter() - begun:.0f} s in all")
    if size == "smoke":
        print("bench: smoke sizes, nothing is judged or kept")
        return 0
    print("bench: all bars met" if not missed else f"bench: missed: {'; '.join(missed)}")
    return 1 if missed else 0


def measure(name: str, size: Size) -> list[Row]:
    """Run one benchmark and print its rows as they come."""
    begun = time.perf_counter()
    measured: list[Row] = []
    for row in importlib.import_module(name).rows(size):
        print(row.line(judged=size != "smoke"), flush=True)
        measured.append(row)
    print(f"({name}: {time.perf_counter() - begun:.0f} s)", flush=True)
    return measured


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
