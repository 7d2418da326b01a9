"""A setting that is one number for all tasks or one per task, as the paper's lambda is.

A method that has such settings lists them in `Method.per_task`, so that a list of the wrong length
is refused before a run begins.
"""

import math

PerTask = float | tuple[float, ...]


def check_values(name: str, values: PerTask) -> None:
    """Refuse a setting of which any number is negative or not finite.

    Raises:
        ValueError: naming the setting and the number.
    """
    for value in numbers(values):
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be at least 0, got {value}.")


def numbers(values: PerTask) -> tuple[float, ...]:
    """Return all numbers of a setting."""
    return values if isinstance(values, tuple) else (values,)


def number_of(values: PerTask, index: int) -> float:
    """Return the number of a task, 0 for the first."""
    return values[index] if isinstance(values, tuple) else values
