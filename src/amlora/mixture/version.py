"""The files of one version of a skills folder: each is what its manifest says, or is refused."""

import os
import re
from pathlib import Path
from typing import Any, cast

from amlora import files, formats
from amlora.errors import InputError
from amlora.mixture.manifest import (
    CURRENT,
    FORMAT,
    MANIFEST,
    TASK_FOLDER,
    Manifest,
    Previous,
)

VERSION = re.compile(r"[0-9]{4,9}")
CURRENT_LINE = re.compile(r"([0-9]{4,9}) ([0-9a-f]{64})\n")
LONGEST_CURRENT = 1000  # bytes; a longer one is none


def read_current(folder: Path) -> Previous:
    """Return the version in use and the hash of its manifest; refuse what is no line of ours."""
    path = folder / CURRENT
    data = files.read_present(path, most=LONGEST_CURRENT)
    match = CURRENT_LINE.fullmatch(data.decode("utf-8", "replace"))
    if match is None:
        raise InputError(f"{path}: altered: it must be one line, a version and a sha256.")
    return Previous(version=match[1], sha256=match[2])


def read_manifest(folder: Path, entry: Previous) -> Manifest:
    """Read one version's manifest after checking its hash.

    An InputError if it is missing, altered, of another format, or names what it must not.
    """
    where = f"versions/{entry.version}"
    check_folder(folder, where)
    path = folder / where / MANIFEST
    data = files.read_present(path, most=files.MOST)
    if files.sha256_bytes(data) != entry.sha256:
        raise InputError(f"{path}: altered: its sha256 is not the one that was written down.")
    value = cast("dict[str, Any] | None", formats.parse_json(path, data))
    stated = value.get("format") if isinstance(value, dict) else None
    if stated != FORMAT:
        raise InputError(f"{path}: format {stated!r}, but this amlora reads {FORMAT}.")
    manifest = formats.typed(path, value, Manifest)
    if manifest.version != entry.version:
        raise InputError(f"{path}: says that it is version {manifest.version!r}.")
    for each in (*manifest.loras, *manifest.tasks):
        if not TASK_FOLDER.fullmatch(each.folder):
            raise InputError(f"{path}: refuses the folder {each.folder!r} of {each.name!r}.")
    wanted = {f"{where}/{name}" for where, names in manifest.folders().items() for name in names}
    if foreign := manifest.files.keys() - wanted:
        raise InputError(f"{path}: refuses the path {min(foreign)!r}: no file of a version.")
    if lacking := wanted - manifest.files.keys():
        raise InputError(f"{path}: says nothing about {min(lacking)!r}.")
    return manifest


def read_version(folder: Path, version: str | None = None) -> Manifest:
    """Return a version's manifest; its folders hold what it names and nothing else.

    CURRENT names the version in use, which None stands for, and each version the one before. The
    files themselves are checked as they are read, by `read_file`. An InputError names what is
    missing, altered, foreign or a link.
    """
    entry = read_current(folder)
    seen = [entry.version]
    while version is not None and entry.version != version:
        previous = read_manifest(folder, entry).previous
        if previous is None:
            raise InputError(f"{folder}: no version {version!r}; there are {', '.join(seen)}.")
        if not VERSION.fullmatch(previous.version) or int(previous.version) >= int(entry.version):
            raise InputError(f"{folder}: version {entry.version} follows {previous.version!r}.")
        entry = previous
        seen.append(entry.version)
    manifest = read_manifest(folder, entry)
    for name, wanted in manifest.folders().items():
        check_folder(folder, name)
        own = wanted | {MANIFEST} if name == manifest.folder else wanted
        if foreign := set(os.listdir(folder / name)) - own:
            path = folder / name / min(foreign)
            raise InputError(f"{path}: foreign: it is no part of version {manifest.version}.")
    return manifest


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


def verify(folder: Path, version: str | None = None) -> Manifest:
    """Check every file of a version, None for the one in use, and return its manifest.

    To use the files read them with `read_skills`: they may be others when read once more. An
    InputError names the file that is missing, truncated, altered, foreign or a link.
    """
    manifest = read_version(folder, version)
    for name in manifest.files:
        read_file(folder, manifest, name)
    return manifest
