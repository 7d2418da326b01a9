"""`amlora config`: the shipped settings files, checking one's own, and a schema for editors."""

from pathlib import Path
from typing import Annotated

import typer

from amlora.cli.output import Json, check_place, columns, print_json, put
from amlora.cli.shipped import check_kind, find, purpose, shipped
from amlora.cli.terminal import say

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
        Path | None, typer.Argument(help="Where to; the current folder if absent.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file.")] = False,
) -> None:
    """Copy a settings file, to change it."""
    source, target = find(name), to or Path()
    target = target / source.name if target.is_dir() else target
    check_place(target, force)
    put(text_of(source), target)


@app.command("schema")
def schema() -> None:
    """Print the JSON schema of a settings file, by which editors complete one."""
    from amlora.experiment.settings import schema

    print_json(schema())


def text_of(path: Path) -> str:
    """Return a settings file's text."""
    from amlora import files, formats

    return formats.unicode(path, files.read_bytes(path, most=files.MOST, follow=True))
