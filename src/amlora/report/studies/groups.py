"""What a figure is about: lines of one stream and base model, and which of them a word asks for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amlora.records.run import StoredRun as Run
from amlora.report.lines import MethodRuns, comparable
from amlora.report.matrix import is_joint


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One base model and one stream of tasks."""

    model: str
    tasks: tuple[str, ...]
    stream_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The lines of one stream and base model."""

    subject: Subject
    lines: tuple[MethodRuns, ...]

    @property
    def runs(self) -> list[Run]:
        """All runs of all lines."""
        return [run for line in self.lines for run in line.runs]


def groups_of(runs: Sequence[Run], labels: Mapping[Path, str] | None = None) -> list[Group]:
    """Put runs together as the comparison of methods does; see `report.lines.comparable`."""
    groups: list[Group] = []
    for lines in comparable(runs, labels):
        record = lines[0].runs[0].record
        subject = Subject(
            model=record.model.name,
            tasks=tuple(task.name for task in record.tasks),
            stream_digest=record.stream_digest,
        )
        groups.append(Group(subject=subject, lines=lines))
    return groups


def chosen(group: Group, word: str) -> list[MethodRuns]:
    """Return the lines that a word asks for: those of this label; else of this run name, or method.

    Runs without a stage for each task are left out: they have no stages to compare.
    """
    lines = [line for line in group.lines if staged(line.runs[0])]
    ways: tuple[Callable[[MethodRuns], str], ...] = (
        lambda line: line.label,
        lambda line: line.runs[0].record.name,
        lambda line: line.runs[0].record.method,
    )
    for way in ways:
        if found := [line for line in lines if way(line) == word]:
            return found
    return []


def staged(run: Run) -> bool:
    """Whether a run's stages are its tasks: not one for all, and not found ones."""
    record = run.record
    names = [task.name for task in record.tasks]
    return record.boundaries is None and not is_joint(names, [s.task for s in record.stages])


def seeds_of(runs: Sequence[Run]) -> tuple[int, ...]:
    """Return the seeds of runs, in their order."""
    return tuple(run.record.seed for run in runs)


def seeds_text(seeds: Sequence[int]) -> str:
    """Return "seed 0" or "seeds 0, 1, 2"."""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
