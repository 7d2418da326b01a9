"""The settings and grid files that come with amlora: beside the package, or inside it."""

from pathlib import Path
from typing import Literal

from amlora.errors import InputError, nearest

PACKAGE = Path(__file__).parents[1]
Kind = Literal["settings", "grid"]
PLACES: dict[Kind, str] = {"settings": ".", "grid": "grids"}
"""Where the files of a kind are in the shipped folder."""
COMMANDS: dict[Kind, str] = {"settings": "run", "grid": "grid"}
"""Which command takes them."""


def shipped(kind: Kind = "settings") -> dict[str, Path]:
    """Return the shipped files of a kind by name."""
    installed = PACKAGE / "configs"
    folder = installed if installed.is_dir() else PACKAGE.parents[1] / "configs"
    return {path.stem: path for path in sorted((folder / PLACES[kind]).glob("*.toml"))}


def find(name: str, kind: Kind = "settings") -> Path:
    """Return the file at a path, or the shipped one of that name, with or without .toml.

    Raises:
        InputError: neither is there.
    """
    path, short, files = Path(name), name.removesuffix(".toml"), shipped(kind)
    if path.is_dir():
        raise InputError(f"{name}: a folder, not a {kind} file.")
    if path.is_file() or short in files:
        return path if path.is_file() else files[short]
    for other in PLACES:
        if short in shipped(other):
            raise of_kind(name, other)
    close = nearest(short, files) or f"; shipped: {', '.join(files)}."
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
        raise of_kind(path, found)


def of_kind(file: Path | str, kind: Kind) -> InputError:
    """Return the error for a file that another command takes."""
    return InputError(f"{file}: a {kind} file, which amlora {COMMANDS[kind]} takes.")


def purpose(path: Path) -> str:
    """Return the first comment line of a file, which says what it is for."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
