"""Which runs share a line, and which lines stand side by side.

A line is one method with one set of settings, over the seeds of its runs. Lines of equal streams
(tasks, rows, order) and equal base models can be compared, and no others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amlora.errors import InputError
from amlora.records.alike import line_of, table_of
from amlora.records.run import StoredRun as Run


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRuns:
    """The runs of one line, at least one."""

    label: str
    runs: tuple[Run, ...]
    """One for each seed, by seed."""


def comparable(
    runs: Sequence[Run], labels: Mapping[Path, str] | None = None
) -> list[tuple[MethodRuns, ...]]:
    """Put runs into lines, and lines that can be compared into one group.

    Args:
        runs: finished ones.
        labels: by run folder, in the order of the lines; None: lines are named by method, or, where
            that does not tell them apart, by run name, and sorted.

    Returns:
        The groups, in an order that does not depend on that of the runs.

    Raises:
        InputError: a seed of a line is there twice.
    """
    groups: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for run in runs:
        record = run.record
        lines = groups.setdefault(table_of(record), {})
        lines.setdefault(line_of(run.record), []).append(run)
    made: list[tuple[MethodRuns, ...]] = []
    for _, found in sorted(groups.items(), key=lambda item: str(item[0])):
        lines = list(found.values())
        names = [labels[line[0].path] for line in lines] if labels else named(lines)
        shown = [
            MethodRuns(label=name, runs=by_seed(line))
            for name, line in zip(names, lines, strict=True)
        ]
        if labels:
            rank = {label: place for place, label in enumerate(dict.fromkeys(labels.values()))}
            shown.sort(key=lambda line: rank[line.label])
        else:
            shown.sort(key=lambda line: line.label)
        made.append(tuple(shown))
    return made


def named(lines: Sequence[Sequence[Run]]) -> list[str]:
    """Return a distinct name for each line: method, run name, both, or with the settings' hash.

    A method of which lines have several versions is named with its version.
    """
    firsts = [group[0] for group in lines]
    versions: dict[str, set[str]] = {}
    for run in firsts:
        versions.setdefault(run.record.method, set()).add(str(run.record.method_version))

    def version(run: Run) -> str:
        several = len(versions[run.record.method]) > 1
        return f", version {run.record.method_version}" if several else ""

    ways: tuple[Callable[[Run], str], ...] = (
        lambda run: run.record.method,
        lambda run: run.record.name,
        lambda run: f"{run.record.name}, {run.record.method}",
    )
    for way in ways:
        names = [f"{way(run)}{version(run)}" for run in firsts]
        if len(set(names)) == len(firsts):
            return names
    return [f"{ways[-1](run)}{version(run)} {line_of(run.record)[:8]}" for run in firsts]


def by_seed(line: Sequence[Run]) -> tuple[Run, ...]:
    """Sort a line's runs by seed.

    Raises:
        InputError: a seed is there twice.
    """
    found: dict[int, Run] = {}
    for run in line:
        if other := found.get(run.record.seed):
            raise InputError(
                f"{run.path}: the same run as {other.path}; give one of the two folders."
            )
        found[run.record.seed] = run
    return tuple(found[seed] for seed in sorted(found))
