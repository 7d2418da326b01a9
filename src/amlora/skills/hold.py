"""Hold a folder of skills to change it, after tidying up what killed commands left there.

A `learn` that was killed leaves its work in WORK, for the next one to go on with. One that was
killed after its version was written, but before it could remove that work, is done: WRITTEN, which
it put there just before, says which LoRA the version holds.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from amlora import files, formats
from amlora.errors import InputError
from amlora.mixture.version import in_use, numbers, read_manifest
from amlora.mixture.write import tidy

WORK = ".learning"
"""Where a `learn` that is going on keeps what it has."""
WRITTEN = "written.json"
LONGEST = 10_000  # bytes of it


class Written(BaseModel):
    """What a `learn` is about to write."""

    model_config = ConfigDict(strict=True, extra="forbid")

    lora: str
    """The folder of its LoRA; no other has that name."""
    then: Literal["publish", "candidate"]
    """What the version becomes."""


@contextmanager
def holding(folder: Path) -> Generator[None]:
    """Hold a folder, made if missing, and tidy it up.

    Raises:
        Locked: another process holds it.
        InputError: a part of it is a link, or not what it should be.
    """
    with files.lock(folder):
        tidy(folder)
        if finished(folder):
            files.discard(folder / WORK)
        yield


def will_write(folder: Path, lora: str, *, publish: bool) -> None:
    """Note which LoRA a `learn` is about to write, beside the work that it has kept."""
    if files.exists(folder / WORK):
        written = Written(lora=lora, then="publish" if publish else "candidate")
        files.write_json(folder / WORK / WRITTEN, written.model_dump())


def finished(folder: Path) -> bool:
    """Tell whether the `learn` whose work is kept came to its end but for removing it."""
    path = folder / WORK / WRITTEN
    if not files.exists(path):
        return False
    try:
        written = formats.typed(path, files.read_json(path, most=LONGEST), Written)
        for version in reversed(numbers(folder)):
            loras = read_manifest(folder, version).loras
            if written.lora in (lora.folder for lora in loras):
                return written.then == "candidate" or version == in_use(folder)
    except InputError:  # work is kept where one cannot tell; the next `learn` removes it
        return False
    return False
