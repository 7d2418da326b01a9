"""Where fetched and prepared files are kept, so that they are made once.

The folder is $AMLORA_CACHE, $XDG_CACHE_HOME/amlora or ~/.cache/amlora. Where it cannot be written,
as with a read-only home, what it holds is used, and new files go to a private folder for temporary
files.
"""

import os
import stat
import tempfile
from pathlib import Path

from amlora import files
from amlora.errors import InputError


def cache_folder() -> Path:
    """Return the folder; it need not be there."""
    if named := os.environ.get("AMLORA_CACHE"):
        return Path(named).expanduser()
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "amlora"
    return Path(os.path.expanduser("~")) / ".cache" / "amlora"


def place(kind: str, name: str) -> Path:
    """Return where a cached file or folder is, or else where it can be put."""
    usual = cache_folder() / kind / name
    # Not `Path.exists`, which raises where one may not look.
    if os.path.exists(usual) or writable(usual):
        return usual
    return private_folder() / kind / name


def writable(path: Path) -> bool:
    """Tell whether a path that is not there could be made."""
    above = next(each for each in path.absolute().parents if os.path.exists(each))
    return above.is_dir() and os.access(above, os.W_OK | os.X_OK)


def private_folder() -> Path:
    """Return this user's own folder for temporary files, made if it is not there.

    An InputError if it is someone else's, or others can write to it.
    """
    folder = Path(tempfile.gettempdir()) / f"amlora-{os.getuid()}"
    files.make_folder(folder)
    found = os.lstat(folder)
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not ours or found.st_mode & stat.S_IWOTH:
        raise InputError(
            f"{folder}: refused as a cache: it is a link, someone else's, or others can write"
            " there; set AMLORA_CACHE to a folder of yours."
        )
    return folder
