"""Print kept rows as a Markdown table, for the documentation: a benchmark's, or all with a bar.

python benchmarks/table.py benchmarks/results/amd-epyc-2-cores.json methods
python benchmarks/table.py benchmarks/results/amd-epyc-2-cores.json bars
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amlora import files

BARS = "bars"


def main() -> None:
    """Read results and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("name", help=f"a benchmark, or {BARS}: every row that has a bar")
    chosen = parser.parse_args()
    benchmarks = files.read_json(chosen.results)["benchmarks"]
    if chosen.name not in (*benchmarks, BARS):
        parser.error(f"{chosen.results} has {', '.join(sorted(benchmarks))} and {BARS}.")
    print(table(rows_of(benchmarks, chosen.name)))


def rows_of(benchmarks: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return a benchmark's rows, or those of all that have a bar."""
    if name != BARS:
        return benchmarks[name]["rows"]
    rows: list[Mapping[str, Any]] = []
    for kept in benchmarks.values():
        rows += kept["rows"]
    return [row for row in rows if row["bar"] is not None]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as Markdown; columns that no row fills are left out."""
    columns = {
        "": [row["name"] for row in rows],
        "ratio": [f"{row['ratio']:.2f}" for row in rows],
        "bar": [
            f"{row['direction']} {row['bar']:g}" if row["bar"] is not None else "" for row in rows
        ],
        "floor": [f"{row['floor']:.2f}" if row["floor"] is not None else "" for row in rows],
        "measured": [row["detail"] for row in rows],
    }
    filled = {name: cells for name, cells in columns.items() if any(cells)}
    lines = [list(filled), ["---"] * len(filled), *zip(*filled.values(), strict=True)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
