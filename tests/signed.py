"""Change what a skills folder holds and let it vouch for it, as whoever writes a folder can."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from amlora import files, formats
from amlora.errors import InputError

Change = Callable[[dict[str, Tensor]], object]
"""Changes the tensors of a file in place."""


def vouch(folder: Path, path: Path, data: bytes) -> None:
    """Put bytes in a file's place, and their hash wherever the folder states it."""
    path.write_bytes(data)
    if path == folder / "CURRENT":
        return
    used = (folder / "CURRENT").read_text().split()[0]
    manifest = folder / "versions" / used / "manifest.json"
    if path == manifest:
        with suppress(InputError, ValueError, RecursionError):  # else it cannot be sealed
            value = formats.parse_json(path, data)
            if isinstance(value, dict):
                value.pop(formats.DIGEST, None)
                files.write_sealed(path, value)
    else:
        stated = files.read_json(manifest)
        stated.pop(formats.DIGEST)
        entry = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        stated["files"][str(path.relative_to(folder))] = entry
        files.write_sealed(manifest, stated)
    (folder / "CURRENT").write_text(f"{used} {files.sha256_file(manifest)}\n")


def change_tensors(folder: Path, pattern: str, change: Change) -> Path:
    """Change a tensor file, the first that fits a pattern; return its path."""
    path = sorted(folder.glob(pattern))[0]
    tensors = files.read_tensors(path)
    change(tensors)
    vouch(folder, path, files.tensor_bytes(tensors, {}))
    return path


def change_json(folder: Path, pattern: str, change: Callable[[dict], object]) -> Path:
    """Change a JSON file, the first that fits a pattern; return its path."""
    path = sorted(folder.glob(pattern))[0]
    value = files.read_json(path)
    change(value)
    vouch(folder, path, files.json_bytes(value))
    return path
