"""`amlora run`: learn a stream of tasks as a settings file says, or show what that would mean."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amlora.cli import rank
from amlora.cli.config import Method, Name, Set
from amlora.cli.output import Json
from amlora.cli.shipped import check_kind, find
from amlora.cli.terminal import say, tell
from amlora.errors import InputError, nearest

if TYPE_CHECKING:
    from amlora.experiment.settings import RunSettings


def run(
    config: Name,
    method: Method = None,
    set_: Set = None,
    runs: Annotated[Path, typer.Option("--runs", help="The folder of runs.")] = Path("runs"),
    force: Annotated[
        bool, typer.Option("--force", help="Do a finished run again; its folder is replaced.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show tasks, prompts, steps and needs; learn nothing.")
    ] = False,
    track: Annotated[
        str | None, typer.Option("--track", help="Also log to a tracker, such as tensorboard.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="A line for every step.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but the result.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Learn the tasks of CONFIG one after another; a run that was stopped goes on where it was.

    Prints the run's folder. A finished run with the same settings and data is not done again.
    """
    if quiet and verbose:
        raise InputError("--quiet and --verbose exclude each other.")
    if as_json and not dry_run:
        raise InputError("--json: give --dry-run as well; a run's results: amlora show RUN --json.")
    if dry_run and track:
        raise InputError("--track and --dry-run exclude each other.")
    if runs.exists() and not runs.is_dir():
        raise InputError(f"{runs}: a file, not a folder of runs.")
    path = find(config)
    check_kind(path, "settings")

    from amlora.experiment.settings import load_settings

    settings = load_settings(path, set_ or (), method)
    if dry_run:
        from amlora.cli.dry_run import print_plan

        return print_plan(settings, as_json)
    say(learn(settings, runs=runs, force=force, track=track, verbose=verbose, quiet=quiet))


def learn(
    settings: "RunSettings",
    *,
    runs: Path,
    force: bool,
    track: str | None,
    verbose: bool,
    quiet: bool,
) -> Path:
    """Run with the display that was asked for; return the run's folder."""
    from contextlib import nullcontext

    from amlora.cli.progress import display
    from amlora.engine.train import NonFiniteLoss
    from amlora.experiment.reporter import Silent
    from amlora.experiment.run import run as run_settings

    if track is not None:
        check_tracker(track)
    try:
        silent = quiet or rank.number() > 0
        with nullcontext(Silent()) if silent else display(verbose=verbose) as progress:
            return run_settings(settings, runs=runs, force=force, progress=progress, track=track)
    except NonFiniteLoss as error:
        # Nobody's fault that a traceback would explain: the message names the step and its rows.
        if not rank.number():
            tell(f"amlora: {error}")
        raise typer.Exit(1) from None


def check_tracker(name: str) -> None:
    """Refuse a tracker that accelerate does not know, or whose package is not installed.

    Raises:
        InputError: naming what there is.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = sorted(LOGGER_TYPE_TO_CLASS)
    if name not in known:
        close = nearest(name, known) or f"; there are: {', '.join(known)}."
        raise InputError(f"--track: unknown tracker {name!r}{close}")
    if name not in [str(tracker) for tracker in get_available_trackers()]:
        raise InputError(f"--track {name}: its package is not installed; pip install {name}.")
