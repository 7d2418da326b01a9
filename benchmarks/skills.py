"""Skills learned one after another beside what people do today, on the same rows and steps.

    python benchmarks/skills.py OUT.jsonl
    python benchmarks/skills_tables.py OUT.jsonl

Every line learns five tasks of the quick start in their order: from the same rows, in as many
steps, at the same rate, with a LoRA of the same shape and start. `skills_lines.py` says what the
lines are. The rate is that of RATES which does best on dev rows of the first task, where all lines
do the same. A killed run goes on where it was. Each line is measured in a process of its own, so
that its peak memory is its own.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from skills_cells import (
    BASE,
    CHOICE,
    LINES,
    RATES,
    SEEDS,
    Cell,
    Protocol,
    best_rate,
    check,
    drawn,
    read,
)


def main() -> None:
    """Measure what is missing."""
    chosen = arguments()
    protocol = Protocol(model=chosen.model, steps=chosen.steps)
    check(chosen.out, protocol)
    if chosen.cell:
        from skills_lines import measure  # takes seconds, and memory of this process

        line, rate, seed = chosen.cell
        cell = Cell(line, float(rate), int(seed))
        tasks = drawn(cell.seed, protocol)[: cell.stages]
        measure(cell, tasks, protocol, chosen.out, cell.folder(chosen.work))
        return
    for seed in chosen.seeds:
        finish(chosen.out, Cell(BASE, 0.0, seed))
        for rate in RATES:
            finish(chosen.out, Cell(CHOICE, rate, seed))
    for seed in chosen.seeds:
        for rate in chosen.rates or [best_rate(read(chosen.out))]:
            for line in chosen.lines:
                finish(chosen.out, Cell(line, rate, seed))


def finish(out: Path, cell: Cell) -> None:
    """Measure what of a cell is missing, in a process of its own."""
    if sum(map(cell.of, read(out))) < cell.stages:
        words = ["--cell", cell.line, str(cell.rate), str(cell.seed)]
        subprocess.run([sys.executable, *sys.argv, *words], check=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    usual = Protocol()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="a file of JSON lines, made or gone on with")
    parser.add_argument("--lines", nargs="+", choices=LINES, default=[*LINES])
    parser.add_argument("--rates", nargs="+", type=float, help="in place of the chosen one")
    parser.add_argument("--seeds", nargs="+", type=int, default=[*SEEDS])
    parser.add_argument("--model", default=usual.model)
    parser.add_argument("--steps", type=int, default=usual.steps, help="of each task")
    parser.add_argument("--work", type=Path, default=Path("runs/skills"), help="keeps LoRAs")
    parser.add_argument("--cell", nargs=3, help="one line, rate and seed, in this process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
