"""The only writer of amlora's own files, and the only opener of what others may have written.

Every file is written under a temporary name in its own folder, flushed to the disk, renamed over
the old one, and the folder is flushed too. A reader therefore sees the old file or the new one,
never a part. Third-party writers are given a temporary folder and their files are taken from there.

Only regular files are read and replaced. A link, a pipe or a device where a file of ours belongs is
refused; a file that the user himself names may be reached through a link (`follow`).

Files and folders are touched by functions of `os` alone, called in the first part of this file, so
a test that puts another `os` here can make any single operation fail.
"""

import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amlora.errors import InputError
from amlora.formats import digest as digest
from amlora.formats import (
    json_bytes,
    parse_json,
    parse_sealed,
    parse_tensors,
    sealed,
    sha256_bytes,
)
from amlora.formats import line as line
from amlora.formats import tensor_bytes as tensor_bytes

if TYPE_CHECKING:
    from torch import Tensor

TEMPORARY = ".amlora-tmp-"
CHUNK = 1 << 20  # bytes read at a time when hashing
MOST = 256 << 20
"""Bytes of a JSON or TOML file: parsing a larger one may fill the memory."""
MOMENT = 0.2  # seconds; who only looks whether a folder is held lets go of it sooner
GUARD = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe would wait for its other end
KINDS = (
    *((stat.S_ISDIR, "a folder"), (stat.S_ISLNK, "a link"), (stat.S_ISFIFO, "a pipe")),
    *((stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"), (stat.S_ISSOCK, "a socket")),
)


class Locked(InputError):
    """Another process holds a folder."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of the disk that names no path, as that of a full one, name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """Open a file or folder for reading and writing through a number."""
    with naming(path):
        handle = os.open(path, flags, 0o666)
        try:
            yield handle
        finally:
            os.close(handle)


def write_all(handle: int, data: bytes) -> None:
    """Write all of the data; the operating system may take it piece by piece."""
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]


def sync(path: Path) -> None:
    """Flush a file, or a folder's list of names, so that a rename there survives a power cut."""
    with opened(path, os.O_RDONLY) as handle:
        os.fsync(handle)


def temporary_name(folder: Path) -> Path:
    """Return a new name in a folder, of the kind that `sweep` removes."""
    return folder / f"{TEMPORARY}{secrets.token_hex(8)}"


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file in one step; on failure the old one is untouched and nothing is left over."""
    write_pieces(path, [data])


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Do what `write_bytes` does with data that come piece by piece."""
    temporary = temporary_name(path.parent)
    try:
        with opened(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as handle:
            for piece in pieces:
                write_all(handle, piece)
            os.fsync(handle)
        check_replaceable(path)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # the disk that failed may fail again; `sweep` has another try
            remove(temporary)
        if isinstance(error, FileNotFoundError):
            raise InputError(f"{path}: no file can be made there: no such folder.") from None
        if isinstance(error, OSError):
            error.filename = str(path)
        raise
    sync(path.parent)


def check_replaceable(path: Path) -> None:
    """Refuse to write where there is a link, a folder, a pipe, a device or a socket."""
    with suppress(FileNotFoundError):
        check_regular(path, os.lstat(path).st_mode)


def check_regular(path: Path, mode: int) -> None:
    """Refuse what is not a regular file, given its mode."""
    for is_kind, name in KINDS:
        if is_kind(mode):
            raise InputError(f"{path}: {name}; only regular files are read and written here.")


def check_own(path: Path) -> None:
    """Refuse a file or folder of ours that is, or in which there is, a link or a special file."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        check_regular(path, mode)
        return
    for name in os.listdir(path):
        check_own(path / name)


def append_line(path: Path, text: str) -> None:
    """Add one line to a log; a log is never part of a result, so it is not flushed to the disk."""
    check_replaceable(path)  # a pipe that nobody reads from cannot even be opened
    with opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | GUARD) as handle:
        found = os.fstat(handle)
        check_regular(path, found.st_mode)
        size = found.st_size
        try:
            write_all(handle, (text + "\n").encode())
        except OSError:
            with suppress(OSError):  # half a line would spoil the next one
                os.ftruncate(handle, size)
            raise


@contextmanager
def readable(path: Path, most: int | None, follow: bool) -> Iterator[tuple[int, int]]:
    """Open a regular file for reading; give the number to read it through, and its size."""
    if not follow:
        check_regular(path, os.lstat(path).st_mode)
    with opened(path, os.O_RDONLY | (GUARD & ~os.O_NOFOLLOW if follow else GUARD)) as handle:
        found = os.fstat(handle)
        check_regular(path, found.st_mode)
        check_length(path, found.st_size, most)
        yield handle, found.st_size


def check_length(path: Path, size: int, most: int | None) -> None:
    """Refuse a file of more than `most` bytes."""
    if most is not None and size > most:
        raise InputError(f"{path}: more than {most:,} bytes, the most that are read of it.")


def read_bytes(path: Path, *, most: int | None = None, follow: bool = False) -> bytes:
    """Return the bytes of a regular file, at `most` so many; `follow` goes through a link as well.

    Raises:
        InputError: not a regular file, or larger.
        FileNotFoundError: no such file.
    """
    with readable(path, most, follow) as (handle, size):
        pieces: list[bytes] = []
        while piece := os.read(handle, size + 1):
            pieces.append(piece)
            size = max(size, sum(map(len, pieces)))  # it may grow, and some state no size
            check_length(path, size, most)
    return b"".join(pieces)


def sha256_file(path: Path, *, most: int | None = None, follow: bool = False) -> str:
    """Return the sha256 of a regular file as 64 hexadecimal digits, reading it in pieces."""
    found = hashlib.sha256()
    with readable(path, most, follow) as (handle, _):
        while piece := os.read(handle, CHUNK):
            found.update(piece)
    return found.hexdigest()


def exists(path: Path) -> bool:
    """Tell whether there is a file or folder; a disk that cannot tell is an error, not a no."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if missing, so that they survive a power cut."""
    if exists(path):
        return
    make_folder(path.parent)
    with suppress(FileExistsError):  # another process was faster
        os.mkdir(path)
    sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file or link, or a folder with all that is in it; it may be gone already."""
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            for name in os.listdir(path):
                remove(path / name)
            os.rmdir(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return


def discard(path: Path) -> None:
    """Remove a file or folder in one step, so that a kill leaves all of it or nothing.

    What is left of a killed removal has a temporary name, for `sweep`.
    """
    gone = temporary_name(path.parent)
    try:
        os.replace(path, gone)
    except FileNotFoundError:
        return
    sync(path.parent)
    remove(gone)


def put(path: Path, to: Path) -> None:
    """Flush a file, or a folder of files, that another program wrote, and rename it in one step."""
    if stat.S_ISDIR(os.stat(path).st_mode):
        for name in os.listdir(path):
            sync(path / name)
    sync(path)
    os.replace(path, to)
    sync(to.parent)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for another program to write to; what is in it at the end is removed."""
    path = temporary_name(parent)
    os.mkdir(path)
    try:
        yield path
    finally:
        remove(path)


def sweep(folder: Path) -> None:
    """Remove what a killed writer left behind: temporary files and folders of our own names."""
    if exists(folder):
        for name in os.listdir(folder):
            if name.startswith(TEMPORARY):
                remove(folder / name)


@contextmanager
def lock(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder, made if missing; the operating system lets go of it if the process dies.

    Raises:
        Locked: another process holds it, and `wait` is not set.
        InputError: it is a file.
    """
    from filelock import FileLock, Timeout

    make_folder(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file, and must be a folder.")
    path = folder / ".lock"
    check_replaceable(path)
    held = FileLock(path, timeout=-1 if wait else MOMENT)
    try:
        with naming(path):
            held.acquire()
    except Timeout:
        raise Locked(f"{folder}: another process is writing here; wait for it to end.") from None
    try:
        yield
    finally:
        held.release()


def write_text(path: Path, text: str) -> None:
    """Replace a text file (UTF-8) in one step."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file in one step; equal values give equal bytes."""
    write_bytes(path, json_bytes(value))


def read_json(path: Path, *, most: int = MOST, follow: bool = False) -> Any:
    """Read a JSON file of at `most` so many bytes; an InputError if there is none."""
    return parse_json(path, read_present(path, most=most, follow=follow))


def read_present(path: Path, *, most: int | None = None, follow: bool = False) -> bytes:
    """Return a file's bytes; one that is not there is a mistake of the caller."""
    try:
        return read_bytes(path, most=most, follow=follow)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a JSON file in one step by one that `read_sealed` can tell from an altered one."""
    write_json(path, sealed(value))


def read_sealed(path: Path, *, most: int = MOST) -> dict[str, Any]:
    """Read what `write_sealed` wrote, its digest included; anything else is an InputError."""
    return parse_sealed(path, read_present(path, most=most))


def read_tensors(path: Path, *, sha256: str = "") -> dict[str, "Tensor"]:
    """Read a safetensors file into CPU memory; with a `sha256`, only the one that has it."""
    data = read_present(path)
    if sha256 and sha256_bytes(data) != sha256:
        raise InputError(f"{path}: altered since it was written: its sha256 is another.")
    return parse_tensors(path, data)


def inside(folder: Path, relative: str) -> Path:
    """Return folder/relative, or an InputError if that leaves the folder, also by a link."""
    path = folder / relative
    if Path(relative).is_absolute() or ".." in Path(relative).parts:
        raise InputError(f"{folder}: refuses the path {relative!r}, which leads out of the folder.")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{folder}: refuses {relative!r}, a link that leads out of the folder.")
    return path
