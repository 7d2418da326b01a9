"""`amlora versions`, `diff`, `publish`, `rollback`, `prune`: which version of skills is in use."""

from typing import Annotated

import typer

from amlora.cli.model import SkillsFolder, skills_of
from amlora.cli.outcome import plain
from amlora.cli.output import Json, print_json
from amlora.cli.terminal import say
from amlora.printable import one_line

Number = Annotated[str, typer.Argument(metavar="VERSION", help="As in 2 or 0002.")]


def versions(skills: SkillsFolder, as_json: Json = False) -> None:
    """List the versions of a skills folder, oldest first: what was done, and what the gate said."""
    from amlora.report.skills import versions_lines

    folder = skills_of(skills)
    if as_json:
        return print_json(plain(folder.versions()))
    say("\n".join(versions_lines(folder.history())))


def diff(skills: SkillsFolder, first: Number, second: Number, as_json: Json = False) -> None:
    """Compare two versions: which rows other skills answer, and what that does to each skill."""
    from amlora.report.skills import diff_lines

    folder = skills_of(skills)
    changes = folder.diff(first, second)
    if as_json:
        return print_json(plain(changes))
    told = folder.history()
    old, new = (told.version(int(folder.numbered(each))) for each in (first, second))
    say("\n".join(diff_lines(told, old, new, changes)))


def publish(
    skills: SkillsFolder,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="As in 2; the newest if left out.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also a version that the gate refused.")
    ] = False,
) -> None:
    """Bring a version into use, such as a candidate."""
    used = skills_of(skills).publish(version, force=force)
    say(one_line(f"{skills}: version {int(used)} is in use."))


def rollback(skills: SkillsFolder) -> None:
    """Bring the version before into use; the one that was stays, and publish returns to it."""
    used = skills_of(skills).rollback()
    say(one_line(f"{skills}: version {int(used)} is in use."))


def prune(
    skills: SkillsFolder,
    history: Annotated[
        bool,
        typer.Option("--history", help="Also those that it was made from: no rollback after that."),
    ] = False,
) -> None:
    """Delete the versions that are not in use, and that the one in use was not made from."""
    gone = skills_of(skills).prune(history=history)
    if not gone:
        return say(one_line(f"{skills}: nothing to delete."))
    names = ", ".join(str(int(version)) for version in gone)
    say(one_line(f"{skills}: deleted version{'s' * (len(gone) > 1)} {names}."))
    say("Rows that only they kept are gone from the disk now, and not before.")
