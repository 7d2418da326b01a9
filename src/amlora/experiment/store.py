"""A run's record as plain values, after all checks."""

from pathlib import Path
from typing import Any

from amlora import files
from amlora.records.run import RECORD, read_folder


def read_record(folder: Path) -> dict[str, Any]:
    """Read the record of a finished run, with all that it speaks of checked."""
    read_folder(folder)
    return files.read_sealed(folder / RECORD)
