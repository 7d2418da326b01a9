"""Figure 5: AM-LoRA's four schemes, NR or AR, with or without L1.

NR trains the newest selector alone (`method.selectors = "new"`), AR all of them; L1 is a sparsity
above 0. A scheme without a run is there without numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from amlora.records.run import StoredRun as Run
from amlora.report.paper_lines import Cell
from amlora.report.studies.groups import Subject, groups_of
from amlora.report.studies.variants import Family, Variant, families, measured, sparsity_text

SCHEMES = (("NR", "new", False), ("NR + L1", "new", True), ("AR", "all", False),
           ("AR + L1", "all", True))  # fmt: skip
VARYING = ("selectors", "sparsity", "sparsity_form")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """One of the four; cells are in per cent and None where undefined or without a run."""

    name: str
    selectors: str
    penalised: bool
    runs: str = ""
    """Name of its runs, "" without any."""
    seeds: tuple[int, ...] = ()
    rate: float | None = None
    average: Cell | None = None
    forgetting: Cell | None = None
    learning_accuracy: Cell | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure5:
    """The figure of one stream, base model and weight of L1; four schemes in the paper's order."""

    subject: Subject
    sparsity: str
    """The weight of L1 where there is one, as text."""
    form: str
    """Of L1: "loss" or "proximal"."""
    schemes: tuple[Scheme, ...]
    repeated: int
    """Runs left out because they repeat another's settings and seed under another name."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the schemes that have no run."""
        return tuple(scheme.name for scheme in self.schemes if not scheme.seeds)


def figure_5(runs: Sequence[Run]) -> list[Figure5]:
    """Return one figure for each stream and base model with runs of both kinds of selectors.

    Of several weights of L1 those are shown that have runs in the most schemes.
    """
    found: list[Figure5] = []
    for group in groups_of(runs):
        made = [
            figure_of(group.subject, family, penalty)
            for family in families(group.runs, VARYING)
            for penalty in penalties(family)
        ]
        made = [
            each
            for each in made
            if {scheme.selectors for scheme in each.schemes if scheme.seeds} == {"new", "all"}
        ]
        fewest = min((len(each.missing) for each in made), default=0)
        found.extend(each for each in made if len(each.missing) == fewest)
    return found


def penalties(family: Family) -> list[Variant | None]:
    """Return one variant for each weight and form of L1 in a family; None if there is no L1."""
    first: dict[str, Variant] = {}
    for variant in family.variants:
        if variant.penalised:
            first.setdefault(f"{variant.sparsity} {variant.form}", variant)
    return [*first.values()] or [None]


def figure_of(subject: Subject, family: Family, penalty: Variant | None) -> Figure5:
    """Gather the four schemes at one weight of L1."""

    def scheme(name: str, selectors: str, penalised: bool) -> Scheme:
        for variant in family.variants:
            alike = penalty and (variant.sparsity, variant.form) == (penalty.sparsity, penalty.form)
            if variant.selectors == selectors and (alike if penalised else not variant.penalised):
                return Scheme(
                    name=name,
                    selectors=selectors,
                    penalised=penalised,
                    runs=variant.name,
                    seeds=variant.seeds,
                    rate=variant.rate,
                    average=measured(variant.runs, "average"),
                    forgetting=measured(variant.runs, "forgetting"),
                    learning_accuracy=measured(variant.runs, "learning_accuracy"),
                )
        return Scheme(name=name, selectors=selectors, penalised=penalised)

    return Figure5(
        subject=subject,
        sparsity=sparsity_text(penalty.sparsity) if penalty else "",
        form=penalty.form if penalty else "",
        schemes=tuple(scheme(*each) for each in SCHEMES),
        repeated=family.repeated,
    )
