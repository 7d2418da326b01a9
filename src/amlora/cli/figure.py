"""`amlora figure`: one of the paper's figures, or a study beside them, drawn or as numbers."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amlora import files
from amlora.cli.output import Force, OfGrid, Wanted, check_place, put
from amlora.cli.terminal import say
from amlora.errors import InputError, nearest

if TYPE_CHECKING:
    from amlora.report.style import Drawing, Kind
    from amlora.report.write import Format

DRAWN: "Mapping[str, Kind]" = {".svg": "svg", ".png": "png", ".pdf": "pdf"}
WRITTEN: "Mapping[str, Format]" = {".csv": "csv", ".md": "markdown", "": "text"}


class Name(StrEnum):
    """What is drawn."""

    third = "3"
    fourth = "4"
    fifth = "5"
    sparsity = "sparsity"
    picks = "picks"


NEEDS = {
    Name.third: "runs of {with_} and of {without} on equal tasks, two or more, with one base model",
    Name.fourth: "runs of {with_} whose LoRAs are weighed by attention",
    Name.fifth: 'am_lora runs with method.selectors "new" and with "all", alike but for sparsity',
    Name.sparsity: "am_lora runs with two or more values of method.sparsity, alike in all else",
    Name.picks: "runs whose LoRAs are weighed by attention, and which measured what it picks",
}
"""What runs must hold for a figure, to say when they do not."""


def figure(
    name: Annotated[
        Name,
        typer.Argument(
            help="The paper's 3 (accuracy as tasks arrive), 4 (attention by layer) or 5 (new or all"
            " selectors, with or without L1); the sweep of the L1 weight; or how often scores pick"
            " the task's own LoRA."
        ),
    ],
    wanted: Wanted,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The file to write: a drawing (.svg, .png, .pdf) or its numbers (.csv, .md); if"
            " left out, the numbers are printed. Several streams of tasks or base models are drawn"
            " below one another in one file.",
        ),
    ] = None,
    grid: OfGrid = None,
    with_: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="LINE",
            help="Figures 3 and 4: runs by label, name or method; am_lora if left out.",
        ),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option(
            "--without", metavar="LINE", help="Figure 3: what is beside it; inc_lora if left out."
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="Figure 4: this task alone.")
    ] = None,
    force: Force = False,
) -> None:
    """Draw a figure from finished runs, or write its numbers."""
    for option, value, of in (
        ("--with", with_, (Name.third, Name.fourth)),
        ("--without", without, (Name.third,)),
        ("--task", task, (Name.fourth,)),
    ):
        if value is not None and name not in of:
            raise InputError(f"{option}: only for figure {' or '.join(of)}.")
    ending = out.suffix.lower() if out else ""
    if out and (ending not in {**DRAWN, **WRITTEN} or not ending):
        raise InputError(f"{out}: name a file that ends in {', '.join(DRAWN)}, .csv or .md.")
    check_place(out, force)
    from amlora.report.style import drawn
    from amlora.report.write import write

    options = {"with_": with_, "without": without, "task": task}
    made, notes = drawings(name, wanted, grid, {k: v for k, v in options.items() if v is not None})
    if out and ending in DRAWN:
        files.write_bytes(out, drawn(made, DRAWN[ending]))
        say(out)
    else:
        put(write([each.sheet for each in made], WRITTEN[ending], notes), out)


def drawings(
    name: Name, wanted: Sequence[str], grid: str | None, options: Mapping[str, str]
) -> "tuple[list[Drawing], list[str]]":
    """Return a figure's drawings, one or more for each stream and base model, and notes."""
    from amlora.cli.table import wanted_runs
    from amlora.report import figures, schemes
    from amlora.report.studies import studies

    found, labels, notes = wanted_runs(wanted, grid)
    scored = [run for run in found if run.record.settings["evaluate"]["split"] != "dev"]
    if left := len(found) - len(scored):
        notes.append(f"Left out: {left} run{'s' * (left > 1)} scored on dev rows.")
    if not scored:
        raise InputError(f"{', '.join(wanted)}: no runs that were scored on test rows.")
    draw = {
        Name.third: figures.figure_3,
        Name.fourth: figures.figure_4,
        Name.fifth: schemes.figure_5,
        Name.sparsity: schemes.sparsity_sweep,
        Name.picks: figures.picks,
    }[name]
    split = studies(scored, labels)
    made = [drawing for study in split for drawing in draw(study, **options)]
    tasks = dict.fromkeys(task for study in split for task in study.attention["task"])
    if not made and (task := options.get("task")) and tasks and task not in tasks:
        close = nearest(task, tasks) or f"; there are: {', '.join(tasks)}."
        raise InputError(f"task {task!r}: no run has measured its attention{close}")
    if not made:
        there = ", ".join(sorted({run.record.method for run in scored}))
        named = {"with_": figures.WITH, "without": figures.WITHOUT, **options}
        needs = NEEDS[name].format(**named)
        raise InputError(f"figure {name} needs {needs}; there are runs of: {there}.")
    return made, notes
