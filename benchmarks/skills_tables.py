"""Print a table of what `skills.py` measured.

    python benchmarks/skills_tables.py benchmarks/results/skills-smollm2-135m.jsonl
    python benchmarks/skills_tables.py benchmarks/results/skills-smollm2-135m.jsonl rates

Without a name it is `lines`. Scores are in per cent: exact match of options, ROUGE-L of free text.
Intervals are Student's t over seeds, which also draw the rows: with three seeds they are wide.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pandas import DataFrame
from skills_cells import BASE, CHOICE, LEARN, TASKS, Entry, best_rate, read

from amlora.evaluate.metrics import average, backward_transfer, forgetting
from amlora.evaluate.statistics import seed_interval
from amlora.report.format import MISSING, percent, points, unsigned
from amlora.report.write import Sheet, write

NAMES = {
    BASE: "nothing learned",
    "one": "one LoRA, trained on and on",
    "merge": "merge and retrain",
    "told": "a LoRA per task, task told",
    LEARN: "amlora learn",
}
Matrix = Sequence[Sequence[float | None]]
"""Row 0 before learning, row k after task k; mean scores, 0..1."""


@dataclass(frozen=True)
class Run:
    """All stages of one line at one rate and seed."""

    line: str
    rate: float
    seed: int
    stages: Sequence[Entry]
    matrix: Matrix

    def total(self, name: str) -> float:
        """Return the sum of a value over the stages."""
        return sum(stage[name] for stage in self.stages)

    @property
    def misrouted(self) -> int | None:
        """Test rows that another skill than their own, or none, answers at the end."""
        return self.stages[-1].get("misrouted")


def main() -> None:
    """Read results and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("name", nargs="?", choices=sorted(TABLES), default="lines")
    parser.add_argument("--format", choices=["text", "markdown", "csv"], default="text")
    chosen = parser.parse_args()
    shown = table(read(chosen.results), chosen.name)
    words = [name for name in shown if name in WORDS]
    sheet = Sheet(title=TABLES[chosen.name].__doc__ or "", values=shown, shown=shown, words=words)
    print(write([sheet], chosen.format), end="")


WORDS = ("line", "after")
"""Columns that hold words."""


def table(entries: Sequence[Entry], name: str) -> DataFrame:
    """Return one of `TABLES` as a reader sees it: text alone."""
    return DataFrame(TABLES[name](runs_of(entries), best_rate(entries)))


def runs_of(entries: Sequence[Entry]) -> list[Run]:
    """Return the runs of lines that are finished."""
    cells: dict[tuple[str, float, int], list[Entry]] = {}
    for entry in entries:
        cells.setdefault((entry["line"], entry["rate"], entry["seed"]), []).append(entry)
    before = {
        seed: [fmean(entry["scores"][entry["task"]]) for entry in stages]
        for (line, _, seed), stages in cells.items()
        if line == BASE
    }
    return [
        Run(line, rate, seed, stages, [before[seed], *map(after, stages)])
        for (line, rate, seed), stages in cells.items()
        if line not in (BASE, CHOICE) and len(stages) == len(TASKS)
    ]


def after(stage: Entry) -> list[float | None]:
    """Return a row of the matrix."""
    scores = stage["scores"]
    return [fmean(scores[task]) if task in scores else None for task in TASKS]


def lines(runs: Sequence[Run], rate: float) -> list[dict[str, str]]:
    """Each line at the rate that the first task's dev rows favour."""
    best = [run for run in runs if run.rate == rate]
    ours = by_seed(run for run in best if run.line == LEARN)
    found: list[dict[str, str]] = []
    for line, own in by_line(best).items():
        pairs = [
            (average(run.matrix) or 0.0) - (average(ours[run.seed].matrix) or 0.0)
            for run in own
            if line != LEARN and run.seed in ours
        ]
        found.append(
            {
                "line": NAMES[line],
                "seeds": str(len(own)),
                "average, %": percent(mean(own, average)),
                "beside learn, points": spread(pairs),
                "forgetting, points": unsigned(mean(own, forgetting)),
                "BWT, points": points(mean(own, backward_transfer)),
                "misrouted, %": share([(run.misrouted, rows(run)) for run in own]),
                "MB a skill": f"{own[0].stages[-1]['stored_bytes'] / len(TASKS) / 1e6:.1f}",
                "training, s": f"{fmean(run.total('train_seconds') for run in own):.0f}",
                "peak, GB": f"{max(s['peak_bytes'] for run in own for s in run.stages) / 1e9:.1f}",
            }
        )
    return found


def rates(runs: Sequence[Run], rate: float) -> list[dict[str, str]]:
    """All rates; the star marks the one that the first task's dev rows favour."""
    return [
        {
            "line": NAMES[line],
            "rate": f"{each:g}" + " *" * (each == rate),
            "seeds": str(len(own)),
            "average, %": percent(mean(own, average)),
            "interval over seeds": interval([average(run.matrix) or 0.0 for run in own]),
            "forgetting, points": unsigned(mean(own, forgetting)),
            "BWT, points": points(mean(own, backward_transfer)),
            "misrouted, %": share([(run.misrouted, rows(run)) for run in own]),
        }
        for line, of_line in by_line(runs).items()
        for each in sorted({run.rate for run in of_line})
        for own in [[run for run in of_line if run.rate == each]]
    ]


def matrices(runs: Sequence[Run], rate: float) -> list[dict[str, str]]:
    """The whole matrix of each line at the favoured rate, mean over seeds."""
    found: list[dict[str, str]] = []
    for line, own in by_line(run for run in runs if run.rate == rate).items():
        for row, name in enumerate(["nothing", *TASKS]):
            cells = {
                task: percent(mean_of([run.matrix[row][j] for run in own]))
                for j, task in enumerate(TASKS)
            }
            found.append({"line": NAMES[line], "after": name, **cells})
    return found


TABLES: Mapping[str, Callable[[Sequence[Run], float], list[dict[str, str]]]] = {
    "lines": lines,
    "rates": rates,
    "matrices": matrices,
}


def by_line(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Return runs by line, in the order of NAMES."""
    found = {line: list[Run]() for line in NAMES}
    for run in runs:
        found[run.line].append(run)
    return {line: own for line, own in found.items() if own}


def by_seed(runs: Iterable[Run]) -> dict[int, Run]:
    """Return runs by seed."""
    return {run.seed: run for run in runs}


def rows(run: Run) -> int:
    """Return how many test rows a run has."""
    return sum(map(len, run.stages[-1]["scores"].values()))


def mean(runs: Sequence[Run], metric: Callable[[Matrix], float | None]) -> float | None:
    """Return a metric's mean over runs."""
    return mean_of([metric(run.matrix) for run in runs])


def mean_of(values: Sequence[float | None]) -> float | None:
    """Return the mean of what is known."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def share(counts: Sequence[tuple[int | None, int]]) -> str:
    """Show what share of rows is counted, over all runs."""
    known = [(part, whole) for part, whole in counts if part is not None]
    if not known:
        return MISSING
    return percent(sum(part for part, _ in known) / sum(whole for _, whole in known))


def interval(values: Sequence[float], show: Callable[[float], str] = percent) -> str:
    """Show the 95 % interval of a mean over seeds."""
    if len(values) < 2:
        return MISSING
    low, high = seed_interval(values).interval
    return f"{show(low)} to {show(high)}"


def spread(values: Sequence[float]) -> str:
    """Show a mean difference with its interval over seeds."""
    if not values:
        return MISSING
    return f"{points(fmean(values))} ({interval(values, points)})"


if __name__ == "__main__":
    main()
