"""The sweep of the L1 weight: what it does to accuracy, and how sparse the scores really get.

L1 pulls selectors towards 0, where all scores are equal; so a larger weight need not make scores
sparser. The share of tokens with a score above 0.9 and the number of LoRAs in effect, exp(entropy),
tell what it did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from amlora.records.beside import Attention
from amlora.records.run import StoredRun as Run
from amlora.report.methods_table import Figure, figure
from amlora.report.paper_lines import Cell
from amlora.report.studies.groups import Subject, groups_of
from amlora.report.studies.variants import Family, Variant, families, measured

VARYING = ("sparsity", "sparsity_form")
FORMS = ("loss", "proximal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One weight of L1; accuracies in per cent, the rest None where no run measured it."""

    sparsity: float
    runs: str
    """Name of its runs."""
    seeds: tuple[int, ...]
    rate: float | None
    average: Cell | None
    forgetting: Cell | None
    sharp: Figure | None
    """Share of tokens whose largest score is above 0.9, mean over tasks and modules."""
    effective: Figure | None
    """Number of LoRAs in effect, mean over tokens, tasks and modules: 1 to `most`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The sweep of one stream, base model and form of L1, by ascending weight."""

    subject: Subject
    form: str
    """"loss" or "proximal"."""
    selectors: str
    points: tuple[Point, ...]
    most: int | None
    """N + 1, the LoRAs and the zero LoRA; None where no run measured scores."""
    repeated: int
    """Runs left out because they repeat another's settings and seed under another name."""


def sparsity_sweep(runs: Sequence[Run]) -> list[Sweep]:
    """Return one sweep for each stream, base model and form of L1 with two weights or more.

    A weight of 0 belongs to either form. Of several sets of other settings those with the most
    weights are shown. Runs with one weight per task have no place on the scale.
    """
    found: list[Sweep] = []
    for group in groups_of(runs):
        split = families(group.runs, VARYING)
        for form in FORMS:
            made = [sweep_of(group.subject, family, form) for family in split]
            most = max((len(each.points) for each in made), default=0)
            if most > 1:
                found.extend(each for each in made if len(each.points) == most)
    return found


def sweep_of(subject: Subject, family: Family, form: str) -> Sweep:
    """Gather the points of one form; none if no weight above 0 has it."""
    variants = [
        variant
        for variant in family.variants
        if not isinstance(variant.sparsity, list)
        and (not variant.penalised or variant.form == form)
    ]
    if not any(variant.penalised for variant in variants):
        variants = []
    widths = [len(run.attention.loras) for each in variants for run in each.runs if run.attention]
    return Sweep(
        subject=subject,
        form=form,
        selectors=family.variants[0].selectors,
        points=tuple(map(point_of, variants)),
        most=max(widths, default=None),
        repeated=family.repeated,
    )


def point_of(variant: Variant) -> Point:
    """Measure one weight."""
    tables = [run.attention for run in variant.runs]
    return Point(
        sparsity=float(variant.sparsity),
        runs=variant.name,
        seeds=variant.seeds,
        rate=variant.rate,
        average=measured(variant.runs, "average"),
        forgetting=measured(variant.runs, "forgetting"),
        sharp=figure([table and mean_of(table, table.top90) for table in tables]),
        effective=figure([table and mean_of(table, table.effective) for table in tables]),
    )


def mean_of(attention: Attention, table: Sequence[Sequence[float]]) -> float | None:
    """Return the mean over tasks and modules, None where there is none."""
    return fmean(value for task in table for value in task) if attention.modules else None
