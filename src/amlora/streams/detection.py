"""Settings of the detector that finds where one task ends and the next begins.

The detector itself is `amlora.engine.borders`.
"""

import msgspec

from amlora.errors import InputError


class DetectionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When rows look like nothing seen. The defaults are ours (docs/howto/found-borders.md)."""

    window: int = 32
    """The last rows, an even number. The older half says in which way they differ from a stage, the
    newer half is tested for it (Cox 1975; Kim & Ramdas 2024)."""
    least: int = 32
    """Rows of a stage, beside the window, before which nothing is compared with it."""
    false_alarm: float = 1e-5
    """The chance that a window of a stage's own rows is taken for something new: the level of
    Student's t test (Student 1908)."""

    def __post_init__(self) -> None:
        if self.window < 6 or self.window % 2:
            raise InputError(
                "stream.detection.window: must be an even number and at least 6, got"
                f" {self.window}."
            )
        if self.least < 4:
            raise InputError(f"stream.detection.least: must be at least 4, got {self.least}.")
        if not 1e-9 <= self.false_alarm <= 0.1:
            raise InputError(
                f"stream.detection.false_alarm: must be 0.000000001 to 0.1, got {self.false_alarm}."
            )
