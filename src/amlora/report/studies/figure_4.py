"""Figure 4: the mean attention score of each LoRA, layer by layer, for each adapted projection.

The paper shows one text of DBpedia; this is the mean over the texts of each task that the run
measured at its end (`attention.json`), and over seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from amlora.errors import InputError, nearest
from amlora.records.beside import Attention
from amlora.records.run import StoredRun as Run
from amlora.report.figures import projections
from amlora.report.studies.figure_3 import WITH
from amlora.report.studies.groups import Subject, chosen, groups_of

Scores = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionScores:
    """One projection: per task the mean scores (layers, 1 + N), the zero LoRA's first."""

    title: str
    layers: tuple[int, ...]
    scores: Mapping[str, Scores]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure4:
    """The figure of one line; the first of `loras` is the zero LoRA, "none"."""

    subject: Subject
    label: str
    seeds: tuple[int, ...]
    loras: tuple[str, ...]
    tasks: tuple[str, ...]
    """Those that are shown."""
    projections: tuple[ProjectionScores, ...]

    @property
    def top(self) -> float:
        """The largest score."""
        return max(
            score
            for projection in self.projections
            for layers in projection.scores.values()
            for scores in layers
            for score in scores
        )


def figure_4(
    runs: Sequence[Run],
    *,
    with_: str = WITH,
    task: str | None = None,
    labels: Mapping[Path, str] | None = None,
) -> list[Figure4]:
    """Return one figure for each line asked for that has an attention.json.

    Args:
        runs: finished ones.
        with_: a line's label, or the name or method of runs.
        task: this one alone; None for all.
        labels: see `groups_of`.

    Raises:
        InputError: no run has this task, or seeds of a line have other modules.
    """
    found: list[Figure4] = []
    known: list[str] = []
    for group in groups_of(runs, labels):
        for line in chosen(group, with_):
            measured = [
                (run, run.attention)
                for run in line.runs
                if run.attention is not None and run.attention.modules
            ]
            if not measured:
                continue
            tables = [attention for _, attention in measured]
            check_alike(measured)
            known.extend(tables[0].tasks)
            shown = [name for name in tables[0].tasks if task in (None, name)]
            if shown:
                found.append(
                    Figure4(
                        subject=group.subject,
                        label=line.label,
                        seeds=tuple(run.record.seed for run, _ in measured),
                        loras=tables[0].loras,
                        tasks=tuple(shown),
                        projections=means_of(tables, shown),
                    )
                )
    if task is not None and known and not found:
        close = nearest(task, known) or f"; there are: {', '.join(dict.fromkeys(known))}."
        raise InputError(f"task {task!r}: no run has measured its attention{close}")
    return found


def check_alike(measured: Sequence[tuple[Run, Attention]]) -> None:
    """Refuse seeds of one line whose tables cannot be averaged.

    Raises:
        InputError: naming two folders.
    """
    (first, expected), *rest = measured
    for run, found in rest:
        told = found.modules, found.loras, found.tasks
        if told != (expected.modules, expected.loras, expected.tasks):
            raise InputError(
                f"{run.path}: its attention.json has other modules, LoRAs or tasks than that of"
                f" {first.path}, of which it is another seed."
            )


def means_of(tables: Sequence[Attention], tasks: Sequence[str]) -> tuple[ProjectionScores, ...]:
    """Return the mean over some tables of equal shape, by projection."""
    first = tables[0]
    return tuple(
        ProjectionScores(
            title=group.title,
            layers=group.layers,
            scores={
                task: tuple(
                    tuple(
                        fmean(values)
                        for values in zip(
                            *(table.mean[first.tasks.index(task)][place] for table in tables),
                            strict=True,
                        )
                    )
                    for place in group.places
                )
                for task in tasks
            },
        )
        for group in projections(first.modules)
    )
