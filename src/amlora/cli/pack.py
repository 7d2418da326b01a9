"""`amlora pack`: a folder of finished runs as a few files, for a repository or a release."""

from pathlib import Path
from typing import Annotated

import typer

from amlora.cli.terminal import say
from amlora.errors import InputError
from amlora.printable import one_line


def pack(
    runs: Annotated[Path, typer.Argument(help="A folder of runs, or another pack.")],
    study: Annotated[Path, typer.Argument(help="The folder that the pack is written to.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a pack that is there.")] = False,
) -> None:
    """Pack finished runs: records, decisions, attention and choices of rates, all checked again."""
    from amlora.records.pack import is_pack, write_pack
    from amlora.records.store import is_store, read_choices, read_runs

    if not is_store(runs):
        raise InputError(f"{runs}: no folder of runs.")
    if is_pack(study) and not force:
        raise InputError(f"{study}: a pack is there; give --force to replace it.")
    found, choices = read_runs([str(runs)]), read_choices(runs)
    write_pack(found, choices, study)
    size = sum(file.stat().st_size for file in study.iterdir() if file.is_file())
    said = f"{len(found)} runs, {len(choices)} choices of rates, {size / 1e6:.2f} MB"
    say(one_line(f"{study}: {said}; every seal and digest holds."))
