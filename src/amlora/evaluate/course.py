"""When each task of a run was learned: in a stage of its own, with all others, or in found stages.

Where borders between tasks are found and not told, there may be more or fewer stages than tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """Stages are counted from 1, as the rows of the accuracy matrix.

    Attributes:
        stages: how many there are.
        first: (T,) the stage that learned the first of the task's rows.
        learned: (T,) the first stage by whose end most of its rows had been learned.
    """

    stages: int
    first: Sequence[int]
    learned: Sequence[int]

    def begun(self, stage: int) -> int:
        """Return how many tasks have rows that were learned by the end of a stage; 0: before."""
        return sum(first <= stage for first in self.first)


def one_by_one(tasks: int) -> Course:
    """Return the course of a stage for each task in turn."""
    each = range(1, tasks + 1)
    return Course(stages=tasks, first=each, learned=each)


def at_once(tasks: int) -> Course:
    """Return the course of one stage for all tasks."""
    return Course(stages=1, first=(1,) * tasks, learned=(1,) * tasks)
