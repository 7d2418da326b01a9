"""`amlora run`: learn a stream of tasks as a settings file says, or show what that would mean."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from amlora.cli import rank
from amlora.cli.config import Method, Name, Set, check_kind, find
from amlora.cli.output import RUNS, Json, Runs, columns, print_json, print_pairs
from amlora.cli.terminal import say, tell
from amlora.errors import InputError, nearest
from amlora.printable import one_line
from amlora.report.format import count, percent, size

if TYPE_CHECKING:
    from amlora.experiment.settings import RunSettings

SPLITS = ("train", "dev", "test")


def run(
    config: Name,
    method: Method = None,
    set_: Set = None,
    runs: Runs = RUNS,
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
        return print_plan(settings, as_json)
    from contextlib import nullcontext

    from amlora.cli.progress import display
    from amlora.engine.train import NonFiniteLoss
    from amlora.experiment.reporter import Silent
    from amlora.experiment.run import run as learn

    if track is not None:
        check_tracker(track)
    silent = quiet or rank.number() > 0
    try:
        with nullcontext(Silent()) if silent else display(verbose=verbose) as progress:
            folder = learn(settings, runs=runs, force=force, progress=progress, track=track)
    except NonFiniteLoss as error:
        # Nobody's fault that a traceback would explain: the message names the step and its rows.
        if not rank.number():
            tell(f"amlora: {error}")
        raise typer.Exit(1) from None
    say(folder)


def check_tracker(name: str) -> None:
    """Refuse a tracker that accelerate does not know, or whose package is not installed."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = sorted(LOGGER_TYPE_TO_CLASS)
    if name not in known:
        close = nearest(name, known) or f"; there are: {', '.join(known)}."
        raise InputError(f"--track: unknown tracker {name!r}{close}")
    if name not in [str(tracker) for tracker in get_available_trackers()]:
        raise InputError(f"--track {name}: its package is not installed; pip install {name}.")


def print_plan(settings: "RunSettings", as_json: bool) -> None:
    """Print what the run would do and need: a plan for people, or as JSON."""
    from amlora.experiment.plan import plan
    from amlora.experiment.toml import write_toml

    planned = plan(settings)
    if as_json:
        return print_json(planned)

    say(f"run {planned['run']} on {planned['device']}\n")
    for warning in planned["warnings"]:
        say(one_line(f"warning: {warning}"))
    say(write_toml(planned["settings"]))
    rows = [["task", "options", *SPLITS, "majority, %"]]
    for task in planned["tasks"]:
        options = str(len(task["options"]) or "free text")
        sizes = [str(task[split]) for split in SPLITS]
        rows.append([task["name"], options, *sizes, percent(task["majority"])])
    say(f"{columns(rows, numbers=True)}\n")
    rows = [["stage", "steps", "rows", "tokens", "trained", "stored"]]
    numbers = ("tokens", "trainable_parameters", "stored_parameters")
    for stage in planned["stages"]:
        steps = [str(stage["steps"]), str(stage["rows"])]
        rows.append([stage["task"], *steps, *(count(stage[key]) for key in numbers)])
    say(columns(rows, numbers=True))
    if planned["adapted"]["projections"]:
        say(f"\n{adapted_line(planned['adapted'])}")
    for prompt in planned["prompts"]:
        print_prompt(prompt)
    for what, needs in planned["estimate"].items():
        say(f"\n{what}, estimated")
        print_pairs([(name, size(number)) for name, number in needs.items()], indent=2)


def adapted_line(adapted: dict[str, list[str]]) -> str:
    """Say which projections have LoRAs, and where that includes the key."""
    line = f"adapted: {', '.join(adapted['projections'])}"
    held = ", ".join(adapted["with_key"])
    return f"{line}; {held}: query, key and value in one, so the key as well" if held else line


def print_prompt(prompt: dict[str, Any]) -> None:
    """Print one row as the model sees it; the loss looks at the ids after the bar only."""
    say(f"\n{one_line(prompt['task'])}, row {prompt['row']}")
    for line in f"{prompt['text']}|{prompt['answer']}".split("\n"):
        say(f"  {line}")
    ids, mask = prompt["input_ids"], prompt["loss_mask"]
    if "target_ids" in prompt:
        before, after = ids, prompt["target_ids"]
    else:
        start = mask.index(1)
        before, after = ids[:start], ids[start:]
    say(f"  {' '.join(map(str, before))} | {' '.join(map(str, after))}")
