"""The settings files that come with amlora: at the repository's root, or inside the package."""

from pathlib import Path

from amlora.errors import InputError, nearest

PACKAGE = Path(__file__).parents[1]


def folder() -> Path:
    """Return the folder of the shipped settings files."""
    installed = PACKAGE / "configs"
    return installed if installed.is_dir() else PACKAGE.parents[1] / "configs"


def shipped() -> dict[str, Path]:
    """Return the shipped settings files by name."""
    return {path.stem: path for path in sorted(folder().glob("*.toml"))}


def find(name: str) -> Path:
    """Return the settings file at a path, or the shipped one of that name.

    Raises:
        InputError: neither is there.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise InputError(f"{name}: a folder, not a settings file.")
    return shipped_file(name)


def shipped_file(name: str) -> Path:
    """Return a shipped settings file by its name, with or without .toml.

    Raises:
        InputError: no such shipped file.
    """
    files = shipped()
    if found := files.get(name.removesuffix(".toml")):
        return found
    close = nearest(name.removesuffix(".toml"), files) or f"; shipped: {', '.join(files)}."
    raise InputError(f"{name}: no such settings file{close}")


def purpose(path: Path) -> str:
    """Return the first comment line of a settings file, which says what it is for."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
