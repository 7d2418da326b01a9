"""A setting that is one number for all tasks or one per task, as the paper's lambda is.

A method that has such settings lists them in `Method.per_task`, so that a list of the wrong length
is refused before a run begins.
"""

from typing import Annotated

from pydantic import Field, NonNegativeFloat

from amlora.settings import Many

Share = Annotated[float, Field(gt=0, le=1)]
PerTask = NonNegativeFloat | Many[NonNegativeFloat]
SharePerTask = Share | Many[Share]


def numbers(values: PerTask) -> tuple[float, ...]:
    """Return all numbers of a setting."""
    return values if isinstance(values, tuple) else (values,)


def number_of(values: PerTask, index: int) -> float:
    """Return the number of a task, 0 for the first."""
    return values[index] if isinstance(values, tuple) else values
