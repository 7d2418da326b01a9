"""The `amlora` command's subcommands, and what each kind of failure looks like.

A caller's mistake is one line on standard error and exit status 2; anything else is a fault of the
program and keeps its traceback.
"""

import errno
import io
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from typing import Annotated

import typer

from amlora.cli import (
    catalogue,
    config,
    data,
    doctor,
    figure,
    grid,
    learn,
    methods,
    predict,
    rank,
    report,
    runs,
    skills,
    table,
    terminal,
    versions,
)
from amlora.cli import run as run_command
from amlora.cli.start import WRONG_INPUT
from amlora.errors import InputError, shortened

# What the machine refuses is no fault of the program either.
SURROUNDINGS = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.EIO, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ELOOP),
    *(errno.EMFILE, errno.ENFILE, errno.EFBIG, errno.ETXTBSY, errno.EBUSY, errno.ENOTEMPTY),
}

app = typer.Typer(
    name="amlora",
    help="Teach a language model one task after another without forgetting the earlier ones.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# Skills first, then what both have, then runs.
app.command("learn", short_help="Add a skill to a model.")(learn.learn)
app.command("predict", short_help="Answer texts with what was learned.")(predict.predict)
app.command("report", short_help="Say what became of skills, or of runs.")(report.report)
app.command("show", short_help="Show a skills folder, or a run.")(runs.show)
app.command("versions", short_help="List the versions of skills.")(versions.versions)
app.command("diff", short_help="Compare two versions of skills.")(versions.diff)
app.command("publish", short_help="Bring a version into use.")(versions.publish)
app.command("rollback", short_help="Bring the version before into use.")(versions.rollback)
app.command("prune", short_help="Delete versions that are not needed.")(versions.prune)
app.command("eval", short_help="Score skills again.")(skills.evaluate)
app.command("remove", short_help="Take a skill out of use.")(skills.remove)
app.command("rename", short_help="Call a skill by another name.")(skills.rename)
app.command("data", short_help="List built-in tasks, or write one to a file.")(data.data)
app.command("run", short_help="Learn a stream of tasks.")(run_command.run)
app.command("grid", short_help="Run a comparison of methods.")(grid.grid)
app.add_typer(config.app, name="config")
app.command("ls", short_help="List the runs in a folder.")(runs.ls)
app.command("pack", short_help="Pack finished runs into a few files.")(runs.pack)
app.command("figure", short_help="Draw one of the paper's figures.")(figure.figure)
app.command("table", short_help="Compare runs in a table.")(table.table)
app.command("methods", short_help="List methods and their settings.")(methods.methods)
app.command("tasks", short_help="List the paper's tasks.")(catalogue.tasks)
app.command("orders", short_help="List the paper's orders of tasks.")(catalogue.orders)
app.command("doctor", short_help="Check what a run needs.")(doctor.doctor)


@app.command("version")
def version() -> None:
    """Print amlora's version."""
    from importlib import metadata

    terminal.say(metadata.version("amlora"))


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Teach a language model one task after another without forgetting the earlier ones."""
    if show_version:
        version()
        raise typer.Exit
    if context.invoked_subcommand is None:
        terminal.say(context.get_help())


def run(words: Sequence[str]) -> int:
    """Run the command line and return the exit status; `words` are those after `amlora`.

    Raises:
        KeyboardInterrupt: the command was interrupted.
        SystemExit: nobody reads the output any more.
    """
    try:
        for place, word in enumerate(words, 1):
            check_word(word, place)
        with redirect_stdout(io.StringIO()) if rank.number() else nullcontext():
            status = app(words, prog_name="amlora", standalone_mode=False) or 0
        terminal.flush()
    except InputError as error:
        status = fail(str(error))
    except typer.TyperException as error:
        status = fail(error.format_message().replace("Value error, ", ""))
    except OSError as error:
        if error.errno not in SURROUNDINGS:
            raise
        place = f"{error.filename}: " if error.filename else ""
        status = fail(f"{place}{os.strerror(error.errno).lower()}.")
    return status


def check_word(word: str, place: int) -> None:
    """Refuse an empty argument, as an unset variable makes one, and bytes that are no text."""
    if not word:
        raise InputError(f"argument {place} is empty.")
    try:
        word.encode()
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        raise InputError(f"argument {word!r}: not text in the encoding {encoding}.") from None


def fail(text: str) -> int:
    """Print a caller's mistake as one line and return the exit status for it."""
    line = shortened(" ".join(text.split()))
    if process := rank.number():
        # Mostly the first one meets it too, and this one is ended before it comes to speak.
        rank.let_the_first_speak()
        line = f"process {process}: {line}"
    terminal.tell(f"amlora: {line}")
    return WRONG_INPUT
