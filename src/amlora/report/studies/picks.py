"""Do scores pick the task's own LoRA? The rate at which it has the largest mean score of a row.

Of N LoRAs chance picks the right one in 1 / N of the rows; the zero LoRA does not compete. Lines
whose scores are fixed and equal have nothing to pick with: ties are shared, so they stand at chance
by definition.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from amlora.records.beside import Attention
from amlora.records.run import StoredRun as Run
from amlora.report.figures import projections
from amlora.report.studies.figure_4 import check_alike
from amlora.report.studies.groups import Subject, groups_of

EQUAL = 1e-9  # scores that differ by less are the same number, rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionPicks:
    """One projection: per layer the rate, mean over tasks and seeds, a fraction."""

    title: str
    layers: tuple[int, ...]
    rates: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over layers."""
        return fmean(self.rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class PickLine:
    """One line; `fixed` where its scores are equal whatever the text."""

    label: str
    seeds: tuple[int, ...]
    fixed: bool
    projections: tuple[ProjectionPicks, ...]
    mean: float
    """Mean over all modules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picks:
    """All lines of one stream and base model."""

    subject: Subject
    chance: float
    """1 / N."""
    lines: tuple[PickLine, ...]


def picks(runs: Sequence[Run], *, labels: Mapping[Path, str] | None = None) -> list[Picks]:
    """Return one study for each stream and base model where a line could pick among LoRAs.

    Args:
        runs: finished ones; those of versions that did not measure the rate are left out.
        labels: see `groups_of`.

    Raises:
        InputError: seeds of a line have other modules.
    """
    found: list[Picks] = []
    for group in groups_of(runs, labels):
        lines: list[PickLine] = []
        sizes: set[int] = set()
        for line in group.lines:
            measured = [
                (run, run.attention)
                for run in line.runs
                if run.attention is not None and picked(run.attention)
            ]
            if measured:
                check_alike(measured)
                sizes.add(len(measured[0][1].loras) - 1)
                lines.append(line_of(line.label, measured))
        if any(not line.fixed for line in lines):
            # Every task of a stream has a LoRA, so N is one number.
            found.append(Picks(subject=group.subject, chance=1 / max(sizes), lines=tuple(lines)))
    return found


def picked(attention: Attention) -> bool:
    """Whether there is a rate in every module, and more than one LoRA to pick from."""
    known = any(None not in rates for rates in attention.picked)
    return known and bool(attention.modules) and len(attention.loras) > 2


def line_of(label: str, measured: Sequence[tuple[Run, Attention]]) -> PickLine:
    """Average over tasks, then over seeds."""
    rates = [
        fmean(values)
        for values in zip(*(module_rates(table) for _, table in measured), strict=True)
    ]
    return PickLine(
        label=label,
        seeds=tuple(run.record.seed for run, _ in measured),
        fixed=all(fixed(table) for _, table in measured),
        projections=tuple(
            ProjectionPicks(
                title=group.title,
                layers=group.layers,
                rates=tuple(rates[place] for place in group.places),
            )
            for group in projections(measured[0][1].modules)
        ),
        mean=fmean(rates),
    )


def module_rates(attention: Attention) -> list[float]:
    """Return each module's rate, the mean over the tasks that have a LoRA of their own."""
    known = [
        [rate for rate in rates if rate is not None]
        for rates in attention.picked
        if None not in rates
    ]
    return [fmean(column) for column in zip(*known, strict=True)]


def fixed(attention: Attention) -> bool:
    """Whether all LoRAs have the same mean score in every module, whatever the task."""
    return all(
        max(scores[1:]) - min(scores[1:]) <= EQUAL for task in attention.mean for scores in task
    )
