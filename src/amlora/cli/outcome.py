"""What is said of a version that was written: the skill, what the others lost, what comes next."""

from typing import TYPE_CHECKING, Any

import typer

from amlora.cli.output import print_json
from amlora.cli.terminal import say

if TYPE_CHECKING:
    from amlora.skills.learn import Outcome
    from amlora.skills.skills import Skills

REFUSED = 3
"""Exit status where the gate did not let a version come into use."""


def finish(skills: "Skills", outcome: "Outcome", as_json: bool) -> None:
    """Print what came of a command that wrote a version of a skills folder.

    Raises:
        typer.Exit: with REFUSED, where the version is not in use.
    """
    from amlora.report.skills import learn_lines

    if as_json:
        print_json(plain(outcome))
    else:
        folder = skills.history()
        for line in learn_lines(folder, folder.version(int(outcome.version))):
            say(line)
    if not outcome.published:
        raise typer.Exit(REFUSED)


def plain(value: Any) -> Any:
    """Return dataclasses, models and what holds them as plain values."""
    from dataclasses import is_dataclass

    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(each) for name, each in vars(value).items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value
