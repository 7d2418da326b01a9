"""`amlora config`: the shipped settings files, and checking one's own."""

from pathlib import Path
from typing import Annotated

import typer

from amlora.cli.output import Json, columns, print_json
from amlora.cli.shipped import check_kind, find, purpose, shipped, shipped_file
from amlora.cli.terminal import say
from amlora.errors import InputError

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
def show(
    name: Name,
    full: Annotated[bool, typer.Option("--full", help="Every setting, defaults included.")] = False,
    as_json: Json = False,
) -> None:
    """Print a settings file as it stands, or with all its defaults."""
    path = find(name)
    if not full and not as_json:
        from amlora import files, formats

        say(formats.unicode(path, files.read_bytes(path, most=files.MOST, follow=True)), end="")
        return
    check_and_print(path, (), None, as_json)


@app.command("check")
def check(name: Name, set_: Set = None, method: Method = None, as_json: Json = False) -> None:
    """Check a settings file and print every setting, defaults included."""
    check_and_print(find(name), set_ or (), method, as_json)


@app.command("copy")
def copy(
    name: Annotated[str, typer.Argument(help="A shipped settings file's name.")],
    to: Annotated[
        Path | None, typer.Argument(help="Where to; the current folder if absent.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file.")] = False,
) -> None:
    """Copy a shipped settings file, to change it."""
    from amlora import files

    source = shipped_file(name)
    target = to or Path()
    if target.is_dir():
        target = target / source.name
    if target.exists() and not force:
        raise InputError(f"{target}: is there already; --force overwrites it.")
    if not target.parent.is_dir():
        raise InputError(f"{target.parent}: no such folder.")
    files.write_text(target, source.read_text(encoding="utf-8"))
    say(target)


def check_and_print(
    path: Path, overrides: list[str] | tuple[str, ...], method: str | None, as_json: bool
) -> None:
    """Load settings and print all of them."""
    from amlora.experiment.settings import load_settings, resolved, to_toml

    check_kind(path, "settings")
    settings = load_settings(path, overrides, method)
    if as_json:
        print_json(resolved(settings))
    else:
        say(to_toml(settings), end="")
