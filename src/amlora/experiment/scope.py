"""Which tasks are scored at which moment of a run: `evaluate.scope`."""

from typing import Literal

from amlora.engine.settings import Scope

Moment = Literal["before", "entered", "learned"]


def to_score(scope: Scope, moment: Moment, stage: int, *, stages: int, tasks: int) -> range:
    """Return the places of the tasks to score.

    Args:
        scope: the setting.
        moment: before any learning; once a newcomer has entered and not yet learned, where that
            changes answers; or after a stage has learned.
        stage: from 0; -1 before any learning.
        stages: of the run; fewer than tasks where all are learned at once.
        tasks: that have rows to score.
    """
    if moment == "before":
        return range(tasks if scope in ("needed", "all") else 0)
    if moment == "entered":
        return range(stage if scope in ("needed", "all") else 0)
    if stages < tasks or scope == "all" or (scope == "ends" and stage + 1 == stages):
        return range(tasks)
    if scope == "ends":
        return range(stage, stage + 1)
    return range(min(tasks, stage + (2 if scope == "needed" else 1)))
