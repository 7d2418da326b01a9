"""Lines of several orders of the same tasks together: for what one order is too small to tell."""

from collections.abc import Sequence

from amlora.report.lines import MethodRuns

Lines = tuple[MethodRuns, ...]


def pooled(groups: Sequence[Lines]) -> list[Lines]:
    """Put lines of the same label and method together over orders of the same tasks.

    Rows of a task are the same in every order, so what can be compared in each order can be
    compared over all. A run's partner is still the one of the same order and seed.

    Args:
        groups: lines that can be compared, as `comparable` returns them.

    Returns:
        The lines of those tasks of which there are two orders or more, named and sorted as before.
    """
    alike: dict[object, list[Lines]] = {}
    for lines in groups:
        record = lines[0].runs[0].record
        tasks = frozenset((task.name, task.digest) for task in record.tasks)
        alike.setdefault((record.model.fingerprint, tasks), []).append(lines)
    return [together(found) for found in alike.values() if orders(found) == len(found) > 1]


def orders(groups: Sequence[Lines]) -> int:
    """Return in how many orders some groups learn their tasks."""
    return len({tuple(task.name for task in lines[0].runs[0].record.tasks) for lines in groups})


def together(groups: Sequence[Lines]) -> Lines:
    """Return one line for each label and method, its runs order by order."""
    found: dict[tuple[str, str], list[MethodRuns]] = {}
    for line in (line for lines in groups for line in lines):
        found.setdefault((line.label, line.runs[0].record.method), []).append(line)
    return tuple(
        MethodRuns(label=label, runs=tuple(run for line in lines for run in line.runs))
        for (label, _), lines in found.items()
    )
