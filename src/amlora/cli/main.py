"""The `amlora` command: its subcommands, and what each kind of failure looks like.

A caller's mistake is one line on standard error and exit status 2, an interrupt one line and 130;
anything else is a fault of the program and keeps its traceback.
"""

import errno
import io
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from typing import Annotated

import typer

from amlora.cli import (
    config,
    doctor,
    grid,
    list_runs,
    methods,
    orders,
    predict,
    rank,
    report,
    run,
    show,
    tasks,
)
from amlora.errors import InputError

WRONG_INPUT, INTERRUPTED = 2, 130
# What the machine refuses is no fault of the program either.
SURROUNDINGS = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.EIO, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR),
}

app = typer.Typer(
    name="amlora",
    help="Teach a language model one task after another without forgetting the earlier ones.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run", short_help="Learn a stream of tasks.")(run.run)
app.command("grid", short_help="Run a comparison of methods.")(grid.grid)
app.add_typer(config.app, name="config")
app.command("ls", short_help="List the runs in a folder.")(list_runs.ls)
app.command("show", short_help="Show one run.")(show.show)
app.command("report", short_help="Write an HTML report of runs.")(report.report)
app.command("predict", short_help="Answer a text with what was learned.")(predict.predict)
app.command("methods", short_help="List methods and their settings.")(methods.methods)
app.command("tasks", short_help="List the paper's tasks.")(tasks.tasks)
app.command("orders", short_help="List the paper's orders of tasks.")(orders.orders)
app.command("doctor", short_help="Check what a run needs.")(doctor.doctor)


@app.command("version")
def version() -> None:
    """Print amlora's version."""
    from importlib import metadata

    print(metadata.version("amlora"))


def version_option(wanted: bool) -> None:
    """Print the version and stop, when --version is given."""
    if wanted:
        version()
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=version_option, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Teach a language model one task after another without forgetting the earlier ones."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; `arguments` are those after the program's name."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with redirect_stdout(io.StringIO()) if rank.number() else nullcontext():
            status = app(words, prog_name="amlora", standalone_mode=False) or 0
        sys.stdout.flush()
    except InputError as error:
        status = fail(str(error))
    except typer.TyperException as error:
        status = fail(error.format_message())
    except BrokenPipeError:
        # The reader of our output is gone, as in `amlora ls | head`; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except OSError as error:
        if error.errno not in SURROUNDINGS:
            raise
        place = f"{error.filename}: " if error.filename else ""
        status = fail(f"{place}{os.strerror(error.errno).lower()}.")
    if status == INTERRUPTED and not rank.number():
        print(interrupted(words), file=sys.stderr)
    if status not in (0, WRONG_INPUT):
        rank.let_the_first_speak()
    sys.exit(status)


def fail(text: str) -> int:
    """Print a caller's mistake as one line and return the exit status for it."""
    line = " ".join(text.split())
    if process := rank.number():
        # Mostly the first one meets it too, and this one is ended before it comes to speak.
        rank.let_the_first_speak()
        line = f"process {process}: {line}"
    print(f"amlora: {line}", file=sys.stderr)
    return WRONG_INPUT


def interrupted(words: Sequence[str]) -> str:
    """Return the line for an interrupt: for runs, the command that goes on where it stopped."""
    if not words or words[0] not in ("run", "grid"):
        return "amlora: interrupted."
    if rank.processes() > 1:
        return "amlora: interrupted; to go on, give the same command again, launcher and all."
    # --force would throw away what is done.
    again = [word for word in words if word != "--force"]
    return f"amlora: interrupted; to go on: {shlex.join(['amlora', *again])}"
