"""Which rows each stage learns: one task's with told borders, what looks alike with found ones.

Borders that nobody tells are found in the train rows' prompts alone. All rows arrive as one
sequence (`streams/arrival.py`). The detector (`engine/borders.py`) reads the vector of each row's
prompt, and never a label, a task's name or a later row. So borders found beforehand are those that
it would find while the stages are learned.
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
from amlora.streams.arrival import Arrival, arrivals, compare, pieces, true_borders
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
    """Find the stages; return them, and what the record says of their borders.

    `rows` are those of each task's `train`, in the same order. The backbone may be adapted: the
    vectors are of its pretrained weights.
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
    """Cut the sequence of rows into stages, named by their number."""
    parts = zip(parts_at(found.starts, order), parts_at(found.starts, found.owners), strict=True)
    return [
        dataclasses.replace(
            stage_of(k, f"stage-{k + 1}", part, settings, tasks, rows),
            own=tuple(place for place, owner in enumerate(owners) if owner == k),
        )
        for k, (part, owners) in enumerate(parts)
    ]


def plan_stages(
    settings: RunSettings, tasks: Sequence[Task], rows: Sequence[Sequence[Row]], *, joint: bool
) -> list[Stage]:
    """Return one stage per task, or one with all rows for a joint method.

    With blurred borders a stage holds rows of neighbouring tasks as well, in its `sources` too;
    each row keeps its task's name. `rows` are those of each task's `train`, in the same order.

    Raises:
        InputError: borders where there are none, or that leave a task no row in its own stage.
    """
    border, names = settings.stream.border, [task.name for task in tasks]
    if joint and border:
        raise InputError(
            f"stream.border: {settings.method.name} learns all tasks in one stage, so there is"
            " no border to blur; set it to 0."
        )
    each = [
        stage_of(
            i,
            names[i],
            [Arrival(part.task, row) for part in parts for row in range(part.start, part.stop)],
            settings,
            tasks,
            rows,
        )
        for i, parts in enumerate(pieces(names, [len(task_rows) for task_rows in rows], border))
    ]
    if not joint:
        return each
    together = [row for stage in each for row in stage.rows]
    sources = tuple(source for stage in each for source in stage.sources)
    # A joint method is given as many steps as all stages of a sequential one together.
    steps = sum(stage.steps for stage in each)
    words = settings.stream.prefix, settings.stream.form
    return [Stage(0, "all tasks", together, steps, sources, *words)]


def stage_of(
    index: int,
    name: str,
    part: Sequence[Arrival],
    settings: RunSettings,
    tasks: Sequence[Task],
    rows: Sequence[Sequence[Row]],
) -> Stage:
    """Return the stage that learns some rows of some tasks."""
    train, stream = settings.train, settings.stream
    sources = [
        dataclasses.replace(
            tasks[task],
            train=tuple(tasks[task].train[at.row] for at in part if at.task == task),
            dev=(),
            test=(),
        )
        for task in dict.fromkeys(at.task for at in part)
    ]
    learned = [rows[at.task][at.row] for at in part]
    steps = steps_of(len(learned), train.batch, train.epochs, train.steps)
    return Stage(index, name, learned, steps, tuple(sources), stream.prefix, stream.form)


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
