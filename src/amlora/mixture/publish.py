"""Which version of a skills folder is in use: publish one, go back, remove what nobody needs.

No version is ever changed; only CURRENT moves. Whoever calls these holds the folder's lock.
"""

from pathlib import Path

from amlora import files
from amlora.errors import InputError
from amlora.mixture.version import (
    ancestry,
    in_use,
    numbers,
    read_current,
    read_manifest,
    read_version,
    verify,
)
from amlora.mixture.write import (
    entry_of,
    next_version,
    remove_tasks,
    tidy,
    unknown_tasks,
    write_current,
)


def publish(folder: Path, version: str) -> None:
    """Make a version the one in use, after every file of it has been read.

    It may be any; `lost_by` tells what of the version in use it lacks.
    """
    verify(folder, version)
    write_current(folder, entry_of(folder, version))


def lost_by(folder: Path, version: str) -> list[str]:
    """Return the skills in use that publishing a version would lose, as they are called now.

    They are those whose LoRA answers no stage of it. None are lost to a version that was made from
    the one in use, or from one that was: what it left out, it was meant to.
    """
    used = in_use(folder)
    if used is None or used == version:
        return []
    wanted = read_version(folder, version)
    before = wanted.previous
    there = set(numbers(folder))
    while before is not None:
        if before.version == used:
            return []
        # The versions before one that is there may have been pruned.
        gone = before.version not in there
        before = None if gone else read_manifest(folder, before.version, before.sha256).previous
    kept = {skill.lora for skill in wanted.skills}
    return [skill.name for skill in read_version(folder).skills if skill.lora not in kept]


def rollback(folder: Path) -> str:
    """Make the version in use be the one that it was made from; return that.

    An InputError if it was made from none, or a file of the older one is not what it was.
    """
    current = read_version(folder)
    if current.previous is None:
        raise InputError(f"{folder}: version {current.version} was made from no other.")
    entry = current.previous
    if entry.version not in numbers(folder):
        raise InputError(f"{folder}: version {entry.version}, the one before, was pruned.")
    read_manifest(folder, entry.version, entry.sha256)
    verify(folder, entry.version)
    write_current(folder, entry)
    return entry.version


def prune(folder: Path, *, history: bool = False) -> list[str]:
    """Remove the versions that neither are in use nor came before that one; return which.

    With `history` all but the one in use, so that rows which older ones kept leave the disk, and
    nothing can be rolled back. Tasks' folders that no version is left to need go too. Numbers are
    not used again. An InputError if no version is in use.
    """
    used = read_current(folder).version
    tidy(folder)
    needed = {used} if history else {manifest.version for manifest in ancestry(folder)}
    gone = [version for version in numbers(folder) if version not in needed]
    if gone:
        # An empty folder says which number comes next, whatever becomes of those before it.
        files.make_folder(folder / "versions" / next_version(folder))
    for version in gone:
        files.discard(folder / "versions" / version)
    remove_tasks(folder, unknown_tasks(folder))
    return gone
