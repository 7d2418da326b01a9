"""The settings and grid files that come with amlora: beside the package, or inside it."""

from pathlib import Path
from typing import Literal

from amlora.errors import InputError, nearest

PACKAGE = Path(__file__).parents[1]
Kind = Literal["settings", "grid"]
PLACES: dict[Kind, str] = {"settings": ".", "grid": "grids"}
"""Where the files of a kind are in the shipped folder."""
TAKES: dict[Kind, str] = {
    "settings": "a settings file, which amlora run takes",
    "grid": "a grid file, which amlora grid takes",
}


def folder() -> Path:
    """Return the folder of the shipped files."""
    installed = PACKAGE / "configs"
    return installed if installed.is_dir() else PACKAGE.parents[1] / "configs"


def shipped(kind: Kind = "settings") -> dict[str, Path]:
    """Return the shipped files of a kind by name."""
    return {path.stem: path for path in sorted((folder() / PLACES[kind]).glob("*.toml"))}


def find(name: str, kind: Kind = "settings") -> Path:
    """Return the file at a path, or the shipped one of that name.

    Raises:
        InputError: neither is there.
    """
    if Path(name).is_dir():
        raise InputError(f"{name}: a folder, not a {kind} file.")
    return path if (path := Path(name)).is_file() else shipped_file(name, kind)


def shipped_file(name: str, kind: Kind = "settings") -> Path:
    """Return a shipped file by its name, with or without .toml.

    Raises:
        InputError: no such shipped file.
    """
    files = shipped(kind)
    if found := files.get(name.removesuffix(".toml")):
        return found
    other: Kind = "grid" if kind == "settings" else "settings"
    if name.removesuffix(".toml") in shipped(other):
        raise InputError(f"{name}: {TAKES[other]}.")
    close = nearest(name.removesuffix(".toml"), files) or f"; shipped: {', '.join(files)}."
    raise InputError(f"{name}: no such {kind} file{close}")


def check_kind(path: Path, kind: Kind) -> None:
    """Refuse a file of the other kind, which would be found to lack this and that.

    Raises:
        InputError: it is one, or no TOML file.
    """
    from amlora.experiment.toml import read_toml

    there = read_toml(path, follow=True)
    found: Kind = "grid" if "methods" in there and "method" not in there else "settings"
    if found != kind and not (kind == "grid" and "method" not in there):
        raise InputError(f"{path}: {TAKES[found]}.")


def purpose(path: Path) -> str:
    """Return the first comment line of a file, which says what it is for."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
