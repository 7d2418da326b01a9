"""Find a skills folder: as named, inside a run's folder, or on the hub."""

import re
from pathlib import Path

from amlora import files
from amlora.cache import place
from amlora.errors import InputError, nearest
from amlora.mixture.manifest import CURRENT
from amlora.mixture.version import numbers
from amlora.records.run import RECORD, check_skills

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w./-]+)?")
PATTERNS = ["CURRENT", "tasks/*", "versions/*"]


def find_skills(folder: str | Path) -> Path:
    """Return the folder that holds CURRENT, or candidates and no version in use yet.

    Args:
        folder: a skills folder, a run's folder with `skills` in it, or the id of a hub repository
            of either layout, with "@revision" behind it for a commit, tag or branch.

    Raises:
        InputError: there is nothing of that kind, or a run's record does not speak of its skills.
    """
    path = Path(folder).expanduser()
    if not path.exists() and path.parent.is_dir() and path.parent != Path():
        names = [near.name for near in path.parent.iterdir() if near.is_dir()]
        raise InputError(f"{folder}: no such folder{nearest(path.name, names) or '.'}")
    if not path.exists() and isinstance(folder, str) and HUB_ID.fullmatch(folder):
        path = download(folder)
    for candidate in (path, path / "skills"):
        if (candidate / CURRENT).exists() or numbers(candidate):
            if candidate != path and files.exists(path / RECORD):
                check_skills(path)
            return candidate
    if not path.exists():
        raise InputError(f"{folder}: no such folder.")
    raise InputError(f"{folder}: no skills here: neither {CURRENT} nor skills/{CURRENT} is there.")


def download(name: str) -> Path:
    """Fetch a hub repository's skills into the cache and return the folder, or an InputError.

    They are fetched as plain files: the hub's own cache is made of links, which are refused.
    """
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    local = place("skills", name.replace("/", "--"))
    try:
        snapshot_download(
            repository,
            revision=revision or None,
            local_dir=local,
            allow_patterns=[*PATTERNS, *(f"skills/{pattern}" for pattern in PATTERNS)],
        )
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{name}: neither a folder nor skills to fetch from the hub: {reason}"
        ) from error
    return local
