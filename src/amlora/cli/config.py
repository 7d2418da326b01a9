"""`amlora config`: settings and grid files, shipped (beside the package or in it) or one's own."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from amlora.cli.output import Force, Json, check_place, columns, print_json, put
from amlora.cli.terminal import say
from amlora.errors import InputError, nearest

PACKAGE = Path(__file__).parents[1]
Kind = Literal["settings", "grid"]
PLACES: dict[Kind, str] = {"settings": ".", "grid": "grids"}
"""Where the files of a kind are in the shipped folder."""
COMMANDS: dict[Kind, str] = {"settings": "run", "grid": "grid"}
"""Which command takes them."""

app = typer.Typer(help="List, show, copy and check settings files.", rich_markup_mode=None)
Name = Annotated[
    str, typer.Argument(metavar="CONFIG", help="A settings file, or a shipped one's name.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a setting, as in train.lr=1e-4."),
]
Method = Annotated[
    str | None, typer.Option("--method", help="Use this method, with its defaults, instead.")
]


@app.callback(invoke_without_command=True)
def config(context: typer.Context) -> None:
    """List, show, copy and check settings files."""
    if context.invoked_subcommand is None:
        list_shipped()


@app.command("list")
def list_shipped(as_json: Json = False) -> None:
    """List the shipped settings files."""
    files = shipped()
    if as_json:
        rows = [{"name": n, "path": str(p), "purpose": purpose(p)} for n, p in files.items()]
        return print_json(rows)
    say(columns([("NAME", "PURPOSE"), *((name, purpose(path)) for name, path in files.items())]))


@app.command("show")
def show(name: Name) -> None:
    """Print a settings file as it stands."""
    say(text_of(find(name)), end="")


@app.command("check")
def check(name: Name, set_: Set = None, method: Method = None, as_json: Json = False) -> None:
    """Check a settings file and print every setting, defaults included."""
    from amlora.experiment.settings import load_settings, resolved, to_toml

    check_kind(path := find(name), "settings")
    settings = load_settings(path, set_ or (), method)
    if as_json:
        print_json(resolved(settings))
    else:
        say(to_toml(settings), end="")


@app.command("copy")
def copy(
    name: Name,
    to: Annotated[
        Path | None, typer.Argument(metavar="TO", help="Where to; here if left out.")
    ] = None,
    force: Force = False,
) -> None:
    """Copy a settings file, to change it."""
    source, target = find(name), to or Path()
    target = target / source.name if target.is_dir() else target
    check_place(target, force)
    put(text_of(source), target)


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of settings, for editors."""
    from amlora.experiment.settings import schema

    print_json(schema())


def text_of(path: Path) -> str:
    """Return a settings file's text."""
    from amlora import files, formats

    return formats.unicode(path, files.read_bytes(path, most=files.MOST, follow=True))


def shipped(kind: Kind = "settings") -> dict[str, Path]:
    """Return the shipped files of a kind by name."""
    installed = PACKAGE / "configs"
    folder = installed if installed.is_dir() else PACKAGE.parents[1] / "configs"
    return {path.stem: path for path in sorted((folder / PLACES[kind]).glob("*.toml"))}


def find(name: str, kind: Kind = "settings") -> Path:
    """Return the file at a path, or the shipped one of that name, with or without .toml."""
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
    """Refuse a file of the other kind, which would be found to lack this and that."""
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
