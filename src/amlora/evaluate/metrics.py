"""What is read off the accuracy matrix R: averages, forgetting and transfer.

R has one row per moment and one column per task. Row 0 is the model before any learning, row k the
model after learning stage k, so R[k][j] with j = k - 1 is task j just after it was learned: the
diagonal. Entries are fractions 0..1, or None where nothing was measured. With T tasks:

- learned one after another (or as separate models): T + 1 rows;
- learned jointly: 2 rows (before, after). There is no diagonal and no order, so forgetting, BWT,
  FWT and learning accuracy are undefined;
- learned in stages that were found: a row more than stages, of which there may be more or fewer
  than tasks. A `Course` then says when each task was learned.

Every metric is None where it is undefined or where an entry that it needs was not measured. All of
them are fractions (BWT and FWT signed); a matrix in percent gives percent.
"""

from collections.abc import Sequence
from math import fsum

from amlora.errors import InputError
from amlora.evaluate.course import Course, one_by_one

Matrix = Sequence[Sequence[float | None]]
"""R: moments x tasks."""


def check(R: Matrix) -> int:
    """Return the number of tasks T.

    Raises:
        InputError: no row, no column, or rows of unequal length.
    """
    if not R or not R[0]:
        raise InputError("the accuracy matrix is empty; it needs a row before learning and a task.")
    tasks = len(R[0])
    for index, row in enumerate(R):
        if len(row) != tasks:
            raise InputError(
                f"row {index} of the accuracy matrix has {len(row)} entries; the first has {tasks}."
            )
    return tasks


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """Mean of the values, or None when there are none or one of them is missing."""
    known = [value for value in values if value is not None]
    return fsum(known) / len(known) if known and len(known) == len(values) else None


def difference(a: float | None, b: float | None) -> float | None:
    """Return a - b, or None when either is missing."""
    return None if a is None or b is None else a - b


def course_of(R: Matrix, found: Course | None) -> Course | None:
    """Return when each task was learned; None where that is not known, or not all rows are there.

    Args:
        R: the accuracy matrix.
        found: of stages that are not tasks; None: T + 1 rows are a stage for each task in turn.

    Raises:
        InputError: `found` is of another number of tasks.
    """
    tasks = check(R)
    course = found or one_by_one(tasks)
    if not len(course.first) == len(course.learned) == tasks:
        raise InputError(f"stages of {len(course.first)} tasks; the accuracy matrix has {tasks}.")
    return course if len(R) == course.stages + 1 else None


def average(R: Matrix) -> float | None:
    """Average performance, mean over tasks of the last row.

    (1/T) sum_j R[T][j]: "average accuracy" of Lopez-Paz & Ranzato 2017 (arXiv 1706.08840) and of
    Chaudhry et al. 2018 (arXiv 1801.10112). Every task weighs the same: the macro average.
    """
    check(R)
    return mean_or_none(R[-1])


def micro_average(R: Matrix, sizes: Sequence[int]) -> float | None:
    """Share of all test rows answered rightly at the end: the last row weighted by test rows.

    sum_j n_j R[T][j] / sum_j n_j. The published logs of O-LoRA call it predict_exact_match.

    Args:
        R: the accuracy matrix.
        sizes: (T,) test rows per task.

    Raises:
        InputError: not one positive size per task.
    """
    tasks = check(R)
    if len(sizes) != tasks or any(size < 1 for size in sizes):
        raise InputError(
            f"test sizes {list(sizes)} must be {tasks} positive numbers, one per task."
        )
    weighted = [None if value is None else value * n for value, n in zip(R[-1], sizes, strict=True)]
    mean = mean_or_none(weighted)
    return None if mean is None else mean * tasks / sum(sizes)


def forgetting(R: Matrix, found: Course | None = None) -> float | None:
    """How far each task fell from its best, by the end (>= 0 unless tasks still improved).

    (1/(T-1)) sum_{j<T} ( max_{1<=l<T} R[l][j] - R[T][j] ): the "forgetting measure" of Chaudhry et
    al. 2018 (arXiv 1801.10112). Rows 1..T-1 count as earlier, as printed there, so also rows before
    task j was learned, where they were measured. Row 0 does not count, since no stage produced it;
    the last row does not, so the value can be negative. Tasks learned in the last stage are left
    out: the last task. Without a score after every stage from j on the best is not known.

    Args:
        R: the accuracy matrix.
        found: of stages that are not tasks.
    """
    course = course_of(R, found)
    if course is None:
        return None
    falls: list[float | None] = []
    for j, stage in enumerate(course.learned):
        if stage < course.stages:
            since = [row[j] for row in R[stage:-1]]
            before = [row[j] for row in R[1:stage]]
            known = [value for value in (*before, *since) if value is not None]
            falls.append(None if None in since else difference(max(known), R[-1][j]))
    return mean_or_none(falls)


def backward_transfer(R: Matrix, found: Course | None = None) -> float | None:
    """BWT: how later stages changed a task since it was learned (negative: forgotten).

    (1/(T-1)) sum_{j<T} ( R[T][j] - R[j][j] ), Lopez-Paz & Ranzato 2017 (arXiv 1706.08840). Tasks
    learned in the last stage are left out: the last task.

    Args:
        R: the accuracy matrix.
        found: of stages that are not tasks.
    """
    course = course_of(R, found)
    if course is None:
        return None
    learned = enumerate(course.learned)
    return mean_or_none(
        [difference(R[-1][j], R[stage][j]) for j, stage in learned if stage < course.stages]
    )


def forward_transfer(R: Matrix, found: Course | None = None) -> float | None:
    """FWT: how earlier stages changed a task before it was learned (positive: they helped).

    (1/(T-1)) sum_{j>1} ( R[j-1][j] - b_j ), Lopez-Paz & Ranzato 2017 (arXiv 1706.08840). There b is
    a randomly initialised model's score; here it is the pretrained model's own, row 0. It is
    undefined if the stage before a task's own learned some of its rows already, as stages that were
    found do until they are.

    Args:
        R: the accuracy matrix.
        found: of stages that are not tasks.
    """
    course = course_of(R, found)
    if course is None or list(course.first) != list(course.learned):
        return None
    learned = enumerate(course.learned)
    return mean_or_none([difference(R[stage - 1][j], R[0][j]) for j, stage in learned if stage > 1])


def learning_accuracy(R: Matrix, found: Course | None = None) -> float | None:
    """Mean of each task's score just after it was learned: whether the model can still learn.

    (1/T) sum_j R[j][j], Riemer et al. 2019 (arXiv 1810.11910).

    Args:
        R: the accuracy matrix.
        found: of stages that are not tasks.
    """
    course = course_of(R, found)
    if course is None:
        return None
    return mean_or_none([R[stage][j] for j, stage in enumerate(course.learned)])


def summary(
    R: Matrix, sizes: Sequence[int], found: Course | None = None
) -> dict[str, float | None]:
    """Return the metrics of a run's record, None where undefined.

    Args:
        R: (moments, T) accuracy matrix, row 0 before learning.
        sizes: (T,) test rows per task.
        found: of stages that are not tasks.
    """
    return {
        "average": average(R),
        "micro_average": micro_average(R, sizes),
        "forgetting": forgetting(R, found),
        "bwt": backward_transfer(R, found),
        "fwt": forward_transfer(R, found),
        "learning_accuracy": learning_accuracy(R, found),
    }
