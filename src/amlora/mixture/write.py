"""Write a version of a skills folder; the layout is told in `manifest.py`.

Order of writing: the tasks' folders, the version's files, its manifest, CURRENT. Folders of tasks
are named by their content and never changed, so versions share them, and a reader sees the old
version or the new one, never a part. Whoever writes holds the folder's lock.
"""

import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from amlora import files
from amlora.errors import InputError
from amlora.mixture.manifest import (
    CURRENT,
    LONGEST_SLUG,
    MANIFEST,
    TASK_FOLDER,
    Manifest,
    Previous,
    StoredFile,
    TaskCard,
)
from amlora.mixture.version import VERSION, check_folder, in_use, numbers, read_manifest

Contents = dict[str, bytes]
"""Files of one folder by name."""


def task_folder(number: int, name: str, contents: Contents) -> str:
    """Return the path of a task's folder: a number, its name, and a hash of all that is in it."""
    content = {file: files.sha256_bytes(data) for file, data in contents.items()}
    return f"tasks/{number:02}-{slug(name)}-{files.digest(content)[:8]}"


def slug(name: str) -> str:
    """Return a name that is safe in a path: lower-case letters, digits and single dashes."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_SLUG].strip("-") or "task"


def card_bytes(card: TaskCard) -> bytes:
    """Return a task's card as a file."""
    return files.json_bytes(card.model_dump(mode="json"))


def listed(folders: Mapping[str, Contents]) -> dict[str, StoredFile]:
    """Return what the manifest says of all files of some folders, given by path."""
    return {
        f"{path}/{name}": StoredFile(size=len(data), sha256=files.sha256_bytes(data))
        for path, contents in folders.items()
        for name, data in contents.items()
    }


def with_content(draft: Manifest, own: Contents) -> Manifest:
    """Return a manifest with its `content`.

    `draft` lists the files of the tasks' folders, and `own` has those of the version's own folder.
    """
    plain = draft.model_dump(mode="json", exclude={"version", "previous", "content"})
    hashes = {name: files.sha256_bytes(data) for name, data in own.items()}
    return draft.replace(content=files.digest([plain, hashes]))


def next_version(folder: Path) -> str:
    """Return a number that no version has had: after the newest, or that of an empty folder."""
    newest = max(map(int, numbers(folder)), default=0)
    return f"{max([1 + newest, *map(int, unwritten(folder))]):04}"


def unwritten(folder: Path) -> list[str]:
    """Return the names of the versions' folders that have no manifest."""
    place = folder / "versions"
    names = set(os.listdir(place)) if place.is_dir() else set[str]()
    return sorted(name for name in names - set(numbers(folder)) if VERSION.fullmatch(name))


def tidy(folder: Path) -> None:
    """Remove what killed writers left: temporary files, and folders that no version needs.

    Only what a version's or a task's folder is called is ever removed.
    """
    files.sweep(folder)
    for name in ("tasks", "versions"):
        place = folder / name
        check_folder(folder, name, missing=True)
        files.sweep(place)
        for inner in os.listdir(place) if place.is_dir() else ():
            if (place / inner).is_dir() and not (place / inner).is_symlink():
                files.sweep(place / inner)
    newest = max(map(int, numbers(folder)), default=0)
    for name in unwritten(folder):
        place = folder / "versions" / name
        if place.is_symlink() or not place.is_dir():
            continue
        if int(name) <= newest + 1:
            files.discard(place)
        else:  # a number that must not be used again lies before it
            for file in os.listdir(place):
                files.remove(place / file)
    remove_tasks(folder, unknown_tasks(folder))


def unknown_tasks(folder: Path) -> set[str]:
    """Return the paths of the tasks' folders that no version needs; none if one cannot be read."""
    place = folder / "tasks"
    found = {f"tasks/{name}" for name in (os.listdir(place) if place.is_dir() else ())}
    found = {path for path in found if TASK_FOLDER.fullmatch(path)}
    # Most often the version in use knows them all.
    known, used = numbers(folder)[::-1], in_use(folder)
    try:
        for version in sorted(known, key=lambda version: version != used):
            if not found:
                break
            found -= read_manifest(folder, version).folders().keys()
    except InputError:
        return set()
    return found


def remove_tasks(folder: Path, paths: set[str]) -> None:
    """Remove tasks' folders, each in one step."""
    for path in sorted(paths):
        if not (folder / path).is_symlink():
            files.discard(folder / path)


def write_version(
    folder: Path,
    draft: Manifest,
    tasks: Mapping[str, Contents],
    own: Contents,
    *,
    publish: bool,
) -> Manifest:
    """Write tasks' folders, the version's own files, the manifest, and CURRENT last.

    Only files that a folder lacks are written; one that is there and differs is refused.

    Args:
        folder: the skills folder.
        draft: as `with_content` takes it.
        tasks: the folders that no version has yet, by path.
        own: all files of the version's own folder but the manifest.
        publish: without it CURRENT is left as it is.

    Returns:
        The manifest as written.
    """
    contents = {**tasks, draft.folder: own}
    manifest = draft.replace(files=draft.files | listed({draft.folder: own}))
    for name in contents:
        check_folder(folder, name, missing=True)
    for where, held in contents.items():
        place = folder / where
        files.make_folder(place)
        files.sweep(place)
        for name, data in held.items():
            if not files.exists(place / name):
                files.write_bytes(place / name, data)
            elif files.read_bytes(place / name) != data:
                raise InputError(f"{place / name}: altered since it was written; remove {place}.")
    for path in (folder / "tasks", folder / "versions", folder):
        files.sync(path)
    files.write_sealed(folder / manifest.folder / MANIFEST, manifest.model_dump(mode="json"))
    if publish:
        write_current(folder, entry_of(folder, manifest.version))
    return manifest


def entry_of(folder: Path, version: str) -> Previous:
    """Return a version and the hash of its manifest, as CURRENT and later versions state them."""
    path = folder / "versions" / version / MANIFEST
    return Previous(version=version, sha256=files.sha256_file(path, most=files.MOST))


def write_current(folder: Path, entry: Previous) -> None:
    """Make a version the one in use."""
    files.write_text(folder / CURRENT, f"{entry.version} {entry.sha256}\n")
