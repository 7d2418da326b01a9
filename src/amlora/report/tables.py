"""The comparison of runs: one row a run, as values, as Markdown and as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

from amlora.evaluate.statistics import mean_sd
from amlora.report.format import MISSING, count, percent, points, seconds
from amlora.report.read import Run, labels

HEADINGS = (
    "run",
    "method",
    "average, %",
    "forgetting, points",
    "BWT, points",
    "learning accuracy, %",
    "trainable parameters",
    "time",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One run's line: fractions, a number of parameters, seconds."""

    run: str
    method: str
    seed: int
    average: float | None
    forgetting: float | None
    bwt: float | None
    learning_accuracy: float | None
    trainable_parameters: int | None
    """The most that were trained in any one stage."""
    seconds: float | None
    stream_digest: str

    def cells(self) -> list[str]:
        """The line as a reader sees it, in the order of `HEADINGS`."""
        return [
            self.run,
            self.method,
            percent(self.average),
            points(self.forgetting).removeprefix("+"),
            points(self.bwt),
            percent(self.learning_accuracy),
            count(self.trainable_parameters),
            seconds(self.seconds),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverSeeds:
    """Runs that differ in their seed alone: mean and standard deviation of the average."""

    name: str
    method: str
    seeds: tuple[int, ...]
    mean: float
    sd: float | None


def compare(runs: Sequence[Run]) -> list[Comparison]:
    """Return one line per run, in the order given."""
    lines: list[Comparison] = []
    for label, run in zip(labels(runs), runs, strict=True):
        record = run.record
        lines.append(
            Comparison(
                run=label,
                method=record.method,
                seed=record.seed,
                average=record.metrics.average,
                forgetting=record.metrics.forgetting,
                bwt=record.metrics.bwt,
                learning_accuracy=record.metrics.learning_accuracy,
                trainable_parameters=max(
                    (stage.trainable_parameters for stage in record.stages), default=None
                ),
                seconds=run.measured.seconds.get("total"),
                stream_digest=record.stream_digest,
            )
        )
    return lines


def over_seeds(runs: Sequence[Run]) -> list[OverSeeds]:
    """Group runs by name, method and stream; groups with two different seeds or more are kept."""
    groups: dict[tuple[str, str, str], dict[int, float]] = {}
    for run in runs:
        record = run.record
        if record.metrics.average is not None:
            key = record.name, record.method, record.stream_digest
            groups.setdefault(key, {})[record.seed] = record.metrics.average
    found: list[OverSeeds] = []
    for (name, method, _), averages in groups.items():
        if len(averages) > 1:
            mean, sd = mean_sd(list(averages.values()))
            seeds = tuple(sorted(averages))
            found.append(OverSeeds(name=name, method=method, seeds=seeds, mean=mean, sd=sd))
    return found


def markdown(lines: Sequence[Comparison]) -> str:
    """Return the comparison as a Markdown table, ending in a newline."""

    def row(cells: Sequence[str]) -> str:
        kept = (" ".join(cell.replace("\\", "\\\\").replace("|", "\\|").split()) for cell in cells)
        return f"| {' | '.join(kept)} |\n"

    rule = ["---", "---", *["---:"] * (len(HEADINGS) - 2)]
    return "".join(map(row, [HEADINGS, rule, *(line.cells() for line in lines)]))


def comma_separated(lines: Sequence[Comparison]) -> str:
    """Return the comparison as CSV for machines: full precision, fractions, empty where missing."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Comparison))
    writer.writerows(astuple(line) for line in lines)
    return text.getvalue()


def plus_minus(mean: float, sd: float | None) -> str:
    """Mean and standard deviation in per cent: "78.4 ± 0.6"."""
    return f"{percent(mean)} ± {MISSING if sd is None else percent(sd)}"
