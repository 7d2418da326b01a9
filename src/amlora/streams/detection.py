"""Settings of the detector that finds where one task ends and the next begins.

The detector itself is `amlora.engine.borders`.
"""

from typing import Annotated

from pydantic import Field

from amlora.settings import Settings


class DetectionSettings(Settings):
    """When rows look like nothing seen. The defaults are ours (docs/howto/found-borders.md)."""

    window: Annotated[int, Field(ge=6)] = 32
    """The last rows, an even number. The older half says in which way they differ from a stage, the
    newer half is tested for it (Cox 1975; Kim & Ramdas 2024)."""
    least: Annotated[int, Field(ge=4)] = 32
    """Rows of a stage, beside the window, before which nothing is compared with it."""
    false_alarm: Annotated[float, Field(ge=1e-9, le=0.1)] = 1e-5
    """The chance that a window of a stage's own rows is taken for something new: the level of
    Student's t test (Student 1908)."""

    def check(self) -> None:
        """Refuse a window without two halves."""
        if self.window % 2:
            raise ValueError(f"window must be an even number, got {self.window}.")
