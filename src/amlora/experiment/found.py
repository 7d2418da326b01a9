"""Stages of a stream whose borders nobody tells: found in its train rows' prompts alone.

All rows arrive as one sequence (`streams/arrival.py`). The detector (`engine/borders.py`) reads the
vector of each row's prompt, and never a label, a task's name or a later row. So borders found
beforehand are those that it would find while the stages are learned.
"""

import dataclasses
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TypeVar

from amlora.engine.backbone import Backbone
from amlora.engine.batch import steps_of
from amlora.engine.borders import Borders, find_borders
from amlora.engine.encode import Row
from amlora.engine.route import vector_of
from amlora.errors import InputError
from amlora.experiment.settings import RunSettings
from amlora.methods import method_class
from amlora.methods.base import Stage
from amlora.records.schema import Boundaries
from amlora.streams.arrival import Arrival, arrivals, compare, true_borders
from amlora.streams.task import Task

T = TypeVar("T")


def check_method(settings: RunSettings) -> None:
    """Refuse methods that do not tell prompts apart."""
    name = settings.method.name
    if settings.stream.boundaries == "told" or depth_of(settings) is not None:
        return
    raise InputError(
        f"stream.boundaries: {name} has no statistic of prompts by which borders could be found;"
        ' learn with anchored_lora, or set it to "told".'
    )


def depth_of(settings: RunSettings) -> int | None:
    """Return which vectors of prompts the method tells apart; see `Method.statistic_depth`."""
    return method_class(settings.method.name).statistic_depth(settings.method.settings)


def find_stages(
    settings: RunSettings, tasks: Sequence[Task], rows: Sequence[Sequence[Row]], backbone: Backbone
) -> tuple[list[Stage], Boundaries]:
    """Find the stages.

    Args:
        settings: of the run.
        tasks: of the stream.
        rows: of each task's `train`, in the same order.
        backbone: adapted or not; the vectors are of its pretrained weights.

    Returns:
        The stages, and what the record says of their borders; see `entry_of`.
    """
    stream, depth = settings.stream, depth_of(settings)
    assert depth is not None
    names, counts = [task.name for task in tasks], [len(task_rows) for task_rows in rows]
    order = arrivals(names, counts, stream.border, stream.sample_seed)
    vectors = (vector_of(backbone, rows[at.task][at.row].prompt_ids, depth) for at in order)
    found = find_borders(vectors, stream.detection)
    return stages_at(found, order, settings, tasks, rows), entry_of(found.starts, order)


def stages_at(
    found: Borders,
    order: Sequence[Arrival],
    settings: RunSettings,
    tasks: Sequence[Task],
    rows: Sequence[Sequence[Row]],
) -> list[Stage]:
    """Cut the sequence of rows into stages, named by their number.

    Args:
        found: in the sequence.
        order: of all rows.
        settings: of the run.
        tasks: of the stream.
        rows: of each task.
    """
    train, stream = settings.train, settings.stream
    stages: list[Stage] = []
    parts = parts_at(found.starts, order)
    owners = parts_at(found.starts, found.owners)
    for k, (part, owned) in enumerate(zip(parts, owners, strict=True)):
        learned = [rows[at.task][at.row] for at in part]
        sources = [
            dataclasses.replace(
                tasks[task],
                train=tuple(tasks[task].train[at.row] for at in part if at.task == task),
                dev=(),
                test=(),
            )
            for task in dict.fromkeys(at.task for at in part)
        ]
        steps = steps_of(len(learned), train.batch, train.epochs, train.steps)
        own = tuple(place for place, owner in enumerate(owned) if owner == k)
        stages.append(
            Stage(
                k,
                f"stage-{k + 1}",
                learned,
                steps,
                tuple(sources),
                stream.prefix,
                stream.form,
                own,
            )
        )
    return stages


def parts_at(starts: Sequence[int], sequence: Sequence[T]) -> list[Sequence[T]]:
    """Cut a sequence before each of some places."""
    edges = [0, *starts, len(sequence)]
    return [sequence[start:stop] for start, stop in pairwise(edges)]


def entry_of(found: Sequence[int], order: Sequence[Arrival]) -> Boundaries:
    """Return what a record says of borders that were found."""
    true = true_borders(order)
    outcome = compare(found, true)
    parts = parts_at(found, order)
    first: list[int] = []
    learned: list[int] = []
    for task in range(len(true) + 1):
        so_far = [*accumulate(sum(at.task == task for at in part) for part in parts)]
        first.append(1 + next(k for k, count in enumerate(so_far) if count))
        learned.append(1 + next(k for k, count in enumerate(so_far) if 2 * count > so_far[-1]))
    return Boundaries(
        found=tuple(found),
        true=tuple(true),
        delays=tuple(outcome.delays),
        false_alarms=outcome.false_alarms,
        first=tuple(first),
        learned=tuple(learned),
    )


def summary_line(boundaries: Boundaries) -> str:
    """Say in a line how the found borders compare with the true ones."""
    known = [delay for delay in boundaries.delays if delay is not None]
    delays = f"; delays in rows: {', '.join(map(str, known))}" if known else ""
    return (
        f"stream.boundaries: {len(known)} of {len(boundaries.true)} borders found; false alarms:"
        f" {boundaries.false_alarms}{delays}."
    )
