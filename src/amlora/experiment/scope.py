"""Which tasks are scored at which moment of a run: `evaluate.scope`."""

from collections.abc import Sequence
from typing import Literal

from amlora.engine.settings import Scope
from amlora.evaluate.course import Course

Moment = Literal["before", "entered", "learned"]


def to_score(scope: Scope, moment: Moment, stage: int, course: Course) -> Sequence[int]:
    """Return the places of the tasks to score.

    Args:
        scope: the setting.
        moment: before any learning; once a newcomer has entered and not yet learned, where that
            changes answers; or after a stage has learned.
        stage: from 0; -1 before any learning.
        course: of the run.
    """
    tasks = range(len(course.first))
    if moment == "before":
        return tasks if scope in ("needed", "all") else ()
    if moment == "entered":
        return tasks[: course.begun(stage)] if scope in ("needed", "all") else ()
    if scope == "all" or (scope == "ends" and stage + 1 == course.stages):
        return tasks
    if scope == "ends":
        return [task for task in tasks if course.learned[task] == stage + 1]
    return tasks[: course.begun(stage + 1) + (scope == "needed")]
