"""AM-LoRA's runs that differ in a few named settings of the method alone, with their measures.

Names and seeds do not count, and neither does what may differ between machines. The learning rate
may differ within a family, since a grid chooses one for each line; but where one set of settings
was run at several rates, each rate is a family of its own.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

from amlora import files
from amlora.evaluate.statistics import seed_interval
from amlora.records.alike import across_orders
from amlora.records.run import StoredRun as Run
from amlora.report.intervals import row_interval
from amlora.report.methods_table import learning_rate
from amlora.report.paper_lines import Cell, order_cell

METHOD = "am_lora"
Measure = Literal["average", "forgetting", "learning_accuracy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One set of settings: its runs by seed."""

    selectors: str
    sparsity: Any
    """A number, or a list with one per task."""
    form: str
    """Of the sparsity: "loss" or "proximal"."""
    rate: float | None
    runs: tuple[Run, ...]

    @property
    def penalised(self) -> bool:
        """Whether there is a sparsity above 0."""
        return any(self.sparsity) if isinstance(self.sparsity, list) else bool(self.sparsity)

    @property
    def name(self) -> str:
        """Name of its runs."""
        return ", ".join(dict.fromkeys(run.record.name for run in self.runs))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, ascending."""
        return tuple(run.record.seed for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Variants with all other settings equal; `repeated` runs stand under another name as well."""

    variants: tuple[Variant, ...]
    repeated: int


def families(runs: Sequence[Run], varying: Sequence[str]) -> list[Family]:
    """Put AM-LoRA's runs of one stream and base model together, in an order of their settings.

    Args:
        runs: others than AM-LoRA's, and those whose record lacks its settings, are left out.
        varying: names of settings of the method that may differ.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        own = run.record.settings.get("method")
        if run.record.method != METHOD or not isinstance(own, dict) or "sparsity" not in own:
            continue
        shared = across_orders(run.record)
        shared["method"] = {
            name: value for name, value in shared["method"].items() if name not in varying
        }
        key = files.digest([str(run.record.method_version), shared])
        groups.setdefault(key, []).append(run)
    found: list[Family] = []
    for _, group in sorted(groups.items()):
        found.extend(families_of(group))
    return found


def families_of(runs: Sequence[Run]) -> list[Family]:
    """Make one family of runs with equal fixed settings, or one for each learning rate."""
    variants: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.record.seed, run.record.name, str(run.path))):
        variants.setdefault(files.digest([told(run), learning_rate(run)]), []).append(run)
    made: list[Variant] = []
    repeated = 0
    for group in variants.values():
        kept = {run.record.seed: run for run in reversed(group)}
        repeated += len(group) - len(kept)
        selectors, sparsity, form = told(group[0])
        made.append(
            Variant(
                selectors=selectors,
                sparsity=sparsity,
                form=form,
                rate=learning_rate(group[0]),
                runs=tuple(kept[seed] for seed in sorted(kept)),
            )
        )
    made.sort(key=lambda each: (strength(each.sparsity), each.selectors, each.form, each.rate or 0))
    if len({files.digest(told(each.runs[0])) for each in made}) == len(made):
        return [Family(variants=tuple(made), repeated=repeated)]
    rates = sorted({each.rate for each in made}, key=lambda rate: rate or 0)
    return [
        Family(variants=tuple(each for each in made if each.rate == rate), repeated=repeated)
        for rate in rates
    ]


def told(run: Run) -> list[Any]:
    """Return what tells AM-LoRA's variants apart: selectors, sparsity, and its form."""
    own = run.record.settings["method"]
    return [own.get("selectors", ""), own["sparsity"], own.get("sparsity_form", "")]


def strength(sparsity: Any) -> tuple[float, str]:
    """Return what sorts sparsities: the number, or the mean of a list and the list itself."""
    if isinstance(sparsity, list):
        return fmean(sparsity), json.dumps(sparsity)
    return float(sparsity), ""


def sparsity_text(sparsity: Any) -> str:
    """Return a sparsity as a reader sees it: "0.001", or the ends of a list with one per task."""
    if isinstance(sparsity, list):
        return f"{min(sparsity):g} to {max(sparsity):g}, per task"
    return f"{sparsity:g}"


def measured(runs: Sequence[Run], name: Measure) -> Cell | None:
    """Return a measure of the paper in per cent, with its 95 % interval where there is one.

    The interval is over seeds; for a single run over its test rows, but for forgetting, which
    compares scores of equal rows at several moments. None: undefined, or there is no run.
    """
    if name == "average":
        return order_cell(runs)
    values = [getattr(run.record.metrics, name) for run in runs]
    if not values or None in values:
        return None
    known = [100 * value for value in values]
    seeds = tuple(run.record.seed for run in runs)
    if len(known) > 1:
        interval = seed_interval(known).interval
        return Cell(value=fmean(known), interval=interval, over="seeds", seeds=seeds)
    rows = row_interval(as_learned(runs[0])) if name == "learning_accuracy" else None
    return Cell(value=known[0], interval=rows, over="rows" if rows else "", seeds=seeds)


def as_learned(run: Run) -> Run:
    """Return the run as if its last row of scores were each task's just after its own stage."""
    R = run.record.R
    diagonal = tuple(R[stage + 1][stage] for stage in range(len(R) - 1))
    return replace(run, record=run.record.model_copy(update={"R": (diagonal,)}))
