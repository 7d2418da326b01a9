"""The only writer of amlora's own files: write, fsync, rename, lock, hash.

Every file is written under a temporary name in its own folder, flushed to the disk, renamed over
the old one, and the folder is flushed too. A reader therefore sees the old file or the new one,
never a part. Third-party writers are given a temporary folder and their files are taken from there.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amlora.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

TEMPORARY = ".amlora-tmp-"
CHUNK = 1 << 20  # bytes read at a time when hashing


def cache_folder() -> Path:
    """Where fetched files are kept: $AMLORA_CACHE, $XDG_CACHE_HOME/amlora or ~/.cache/amlora."""
    if named := os.environ.get("AMLORA_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "amlora"


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file in one step; on failure the old one is untouched and nothing is left over."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace a text file (UTF-8) in one step."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file in one step: keys sorted, so that equal values give equal bytes."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: no such file, not UTF-8, or not JSON (with the line).
    """
    try:
        return json.loads(path.read_bytes().decode())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}.") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: not JSON: {error.msg}.") from None


def append_line(path: Path, text: str) -> None:
    """Add one line to a log; a log is never part of a result, so it is not flushed to the disk."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def sha256_bytes(data: bytes) -> str:
    """Return the sha256 of bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits, reading it in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def digest(value: object) -> str:
    """Return the sha256 of a plain value (dicts, lists, strings, numbers), key order aside."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return sha256_bytes(text.encode())


def write_tensors(path: Path, tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str]) -> None:
    """Replace a safetensors file in one step; equal tensors give equal bytes."""
    from safetensors.torch import save

    copies = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    write_bytes(path, save(copies, dict(metadata)))


def read_tensors(path: Path) -> dict[str, "Tensor"]:
    """Read a safetensors file into CPU memory.

    Raises:
        InputError: no such file, or not a whole safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except SafetensorError as error:
        raise InputError(f"{path}: not a whole safetensors file: {error}.") from None


def inside(folder: Path, relative: str) -> Path:
    """Return folder/relative after checking that it does not leave the folder.

    Raises:
        InputError: an absolute path, a "..", or a link that leads out of the folder.
    """
    path = folder / relative
    if Path(relative).is_absolute() or ".." in Path(relative).parts:
        raise InputError(f"{folder}: refuses the path {relative!r}, which leads out of the folder.")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{folder}: refuses {relative!r}, a link that leads out of the folder.")
    return path


def line(value: object) -> str:
    """Return a value as one line of JSON, keys sorted."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def clear(folder: Path, keep: tuple[str, ...] = ()) -> None:
    """Remove a folder; with names to keep, everything else in it."""
    if not keep:
        shutil.rmtree(folder, ignore_errors=not folder.exists())
        return
    for path in folder.iterdir():
        if path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def sweep(folder: Path) -> None:
    """Remove what a killed writer left behind: temporary files and folders of our own names."""
    for stray in folder.glob(f"{TEMPORARY}*"):
        if stray.is_dir():
            shutil.rmtree(stray)
        else:
            stray.unlink()


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the operating system lets go of it if the process dies.

    Raises:
        InputError: another process holds it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    held = FileLock(folder / ".lock", timeout=0)
    try:
        held.acquire()
    except Timeout:
        raise InputError(
            f"{folder}: another process is writing here; wait for it to end."
        ) from None
    try:
        yield
    finally:
        held.release()
