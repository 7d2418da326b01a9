"""The versions of a skills folder: each file is what its manifest says, or is refused."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from amlora import files, formats
from amlora.errors import InputError
from amlora.mixture.manifest import (
    CURRENT,
    EXTRA,
    FORMAT,
    MANIFEST,
    OPTIONAL,
    TASK_FOLDER,
    Manifest,
    Previous,
)

VERSION = re.compile(r"[0-9]{4,9}")
CURRENT_LINE = re.compile(r"([0-9]{4,9}) ([0-9a-f]{64})\n")
LONGEST_CURRENT = 1000  # bytes; a longer one is none
LISTED = 20  # versions that an error names, the newest
Found = TypeVar("Found")


def read_current(folder: Path) -> Previous:
    """Return the version in use and the hash of its manifest.

    An InputError: there is none, and candidates are named, or CURRENT is no line of ours.
    """
    path = folder / CURRENT
    if not files.exists(path) and (candidates := numbers(folder)):
        names = ", ".join(candidates)
        raise InputError(f"{path}: no such file: no version is in use; candidates: {names}.")
    data = files.read_present(path, most=LONGEST_CURRENT)
    match = CURRENT_LINE.fullmatch(data.decode("utf-8", "replace"))
    if match is None:
        raise InputError(f"{path}: altered: it must be one line, a version and a sha256.")
    return Previous(version=match[1], sha256=match[2])


def in_use(folder: Path) -> str | None:
    """Return the version in use, None where there is none yet."""
    return read_current(folder).version if files.exists(folder / CURRENT) else None


def numbers(folder: Path) -> list[str]:
    """Return the versions that were written to their end, oldest first."""
    found = (folder / "versions").glob(f"*/{MANIFEST}")
    return sorted(
        (path.parent.name for path in found if VERSION.fullmatch(path.parent.name)), key=int
    )


def read_manifest(folder: Path, version: str, sha256: str = "") -> Manifest:
    """Read one version's manifest after checking its digest, and its hash where one is given.

    An InputError if it is missing, altered, of another format, or names what it must not.
    """
    where = f"versions/{version}"
    check_folder(folder, where)
    path = folder / where / MANIFEST
    data = files.read_present(path, most=files.MOST)
    if sha256 and files.sha256_bytes(data) != sha256:
        raise InputError(f"{path}: altered: its sha256 is not the one that was written down.")
    value = cast("dict[str, Any] | None", formats.parse_json(path, data))
    stated = value.get("format") if isinstance(value, dict) else None
    if stated != FORMAT:
        raise InputError(f"{path}: format {stated!r}, but this amlora reads {FORMAT}.")
    value = formats.parse_sealed(path, data)
    value.pop(formats.DIGEST)
    manifest = formats.typed(path, value, Manifest)
    if manifest.version != version:
        raise InputError(f"{path}: says that it is version {manifest.version!r}.")
    before = manifest.previous
    if before and (not VERSION.fullmatch(before.version) or int(before.version) >= int(version)):
        raise InputError(f"{path}: version {version} follows {before.version!r}.")
    for each in (*manifest.loras, *manifest.tasks):
        if not TASK_FOLDER.fullmatch(each.folder):
            raise InputError(f"{path}: refuses the folder {each.folder!r} of {each.name!r}.")
    check_names(path, manifest)
    return manifest


def check_names(path: Path, manifest: Manifest) -> None:
    """Refuse a manifest that speaks of other files than those of its folders, or not of all."""
    folders = manifest.folders()
    wanted = {f"{where}/{name}" for where, names in folders.items() for name in names}
    tasks = folders.keys() - {manifest.folder}
    allowed = wanted | {f"{where}/{name}" for where in tasks for name in OPTIONAL}
    if foreign := manifest.files.keys() - allowed:
        raise InputError(f"{path}: refuses the path {min(foreign)!r}: no file of a version.")
    if lacking := wanted - manifest.files.keys():
        raise InputError(f"{path}: says nothing about {min(lacking)!r}.")


def read_version(folder: Path, version: str | None = None) -> Manifest:
    """Return a version's manifest; its folders hold what it names and nothing else.

    None stands for the version in use. The files themselves are checked as they are read, by
    `read_file`. An InputError names what is missing, altered, foreign or a link.
    """
    used = read_current(folder) if version is None or files.exists(folder / CURRENT) else None
    if used is not None and version in (None, used.version):
        manifest = read_manifest(folder, used.version, used.sha256)
    else:
        assert version is not None
        if version not in (known := numbers(folder)):
            newest = ", ".join(known[: -1 - LISTED : -1]) or "none"
            raise InputError(f"{folder}: no version {version!r}; there are {newest}.")
        manifest = read_manifest(folder, version)
    own: dict[str, set[str]] = {manifest.folder: {MANIFEST}}
    for name in manifest.files:
        where, _, file = name.rpartition("/")
        own.setdefault(where, set()).add(file)
    for where, names in own.items():
        check_folder(folder, where)
        if foreign := set(os.listdir(folder / where)) - names:
            path = folder / where / min(foreign)
            raise InputError(f"{path}: foreign: it is no part of version {manifest.version}.")
    return manifest


def steadily(folder: Path, read: Callable[[], Found]) -> Found:
    """Read what is in use, or all versions, and again where there are others meanwhile.

    Readers hold no lock, so what they read may be replaced and pruned under them. An error of
    `read` is raised when it comes again and nothing of that kind has happened in between.
    """
    before = None
    while True:
        try:
            return read()
        except (InputError, FileNotFoundError):
            now = seen(folder)
            if now == before:
                raise
            before = now


def seen(folder: Path) -> tuple[Previous | None, list[str]]:
    """Return what is in use, and which versions there are."""
    used = read_current(folder) if files.exists(folder / CURRENT) else None
    return used, numbers(folder)


def list_versions(folder: Path) -> list[Manifest]:
    """Return the manifests of all versions, oldest first; an InputError names an altered one."""
    return [read_manifest(folder, version) for version in numbers(folder)]


def ancestry(folder: Path) -> list[Manifest]:
    """Return the manifest of the version in use and those of all that it came from, newest first.

    Each is the one that the next vouches for, or is refused. They end where older ones were pruned.
    """
    entry: Previous | None = read_current(folder)
    found: list[Manifest] = []
    while entry is not None and (not found or entry.version in numbers(folder)):
        found.append(read_manifest(folder, entry.version, entry.sha256))
        entry = found[-1].previous
    return found


def check_folder(folder: Path, name: str, *, missing: bool = False) -> None:
    """Refuse a folder that is missing, or is a link, or in one, which could lead anywhere."""
    for path in (folder / Path(name).parts[0], folder / name):
        if path.is_symlink():
            raise InputError(f"{path}: refuses a link; skills are plain files in plain folders.")
        if not path.is_dir() and not missing:
            raise InputError(f"{path}: no such folder.")


def read_file(folder: Path, manifest: Manifest, name: str) -> bytes:
    """Read a file that a manifest names, once; what is returned is what was hashed.

    An InputError if it is missing, truncated, altered, a link or no file.
    """
    path, stated = folder / name, manifest.files[name]
    data = files.read_present(path, most=stated.size)
    if len(data) < stated.size:
        size = f"{len(data)} bytes where the manifest says {stated.size}"
        raise InputError(f"{path}: truncated: {size}.")
    if files.sha256_bytes(data) != stated.sha256:
        raise InputError(f"{path}: altered: its sha256 is not the manifest's.")
    return data


def read_task_file(folder: Path, manifest: Manifest, skill: str, name: str) -> bytes | None:
    """Read what lies beside a skill's LoRA, one of `EXTRA`; None where the skill has no such file.

    An InputError if there is no such skill, or the file is not what the manifest says.
    """
    assert name in EXTRA, name
    path = f"{manifest.folder_of(skill)}/{name}"
    return read_file(folder, manifest, path) if path in manifest.files else None


def verify(folder: Path, version: str | None = None) -> Manifest:
    """Check every file of a version, None for the one in use, and return its manifest.

    To use the files read them with `read_skills`: they may be others when read once more. An
    InputError names the file that is missing, truncated, altered, foreign or a link.
    """
    manifest = read_version(folder, version)
    for name in manifest.files:
        read_file(folder, manifest, name)
    return manifest
