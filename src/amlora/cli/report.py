"""`amlora report`: one self-contained HTML page from finished runs, a table, or a figure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from amlora.cli.terminal import say
from amlora.errors import InputError


class Table(StrEnum):
    """What stands alone instead of the page."""

    methods = "methods"
    pairs = "pairs"
    first = "1"
    second = "2"


class Figure(StrEnum):
    """What is drawn instead of the page."""

    third = "3"
    fourth = "4"
    fifth = "5"
    sparsity = "sparsity"
    picks = "picks"


class Form(StrEnum):
    """How a table is written."""

    text = "text"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    latex = "latex"
    html = "html"


def report(
    wanted: Annotated[
        list[str], typer.Argument(metavar="RUNS...", help="Runs, or folders of runs.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The file to write; report.html, or the screen for a table or a figure's numbers.",
        ),
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="Where runs are looked up by name.")] = Path(
        "runs"
    ),
    table: Annotated[
        Table | None,
        typer.Option(
            "--table",
            help="No page but a table: one line per method; pairs of methods on equal rows and"
            " seeds; or the paper's table 1 (T5-large) or 2 (LLaMA2-7B) with its published numbers,"
            " reruns and these runs.",
        ),
    ] = None,
    figure: Annotated[
        Figure | None,
        typer.Option(
            "--figure",
            help="No page but a figure: the paper's 3 (accuracy as tasks arrive), 4 (attention by"
            " layer) or 5 (new or all selectors, with or without L1), the sweep of the L1 weight,"
            " or how often scores pick the task's own LoRA. --out FILE decides by its ending: .svg,"
            " .png, .pdf, or its numbers as .csv or .md. Several streams of tasks or base models"
            " stand below one another in one file.",
        ),
    ] = None,
    form: Annotated[
        Form | None, typer.Option("--format", help="Of a table; html is for 1 and 2 alone.")
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option("--grid", metavar="GRID", help="Only this grid's runs, by its labels."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="LABEL",
            help="The page and table pairs: the line that others are compared with; am_lora's if"
            " left out.",
        ),
    ] = None,
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
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write an HTML report (matrices, metrics, curves, attention), a table, or a figure."""
    from amlora import files
    from amlora.cli.page import page
    from amlora.cli.readable import readable_runs

    options = {"with_": with_, "without": without, "task": task}
    check_options(table, figure, {"--format": form, "--grid": grid, "--against": against}, options)
    if table is None and figure is None:
        out = out or Path("report.html")
    if out is not None:
        check_place(out, force)  # before work begins
    if table is not None:
        written = table_of(table, form or Form.text, wanted, runs, grid, against).encode()
    elif figure is not None:
        written = figure_of(figure, wanted, runs, grid, out, options)
    else:
        folders = [run.path for run in readable_runs(wanted, runs)]
        written = page(wanted, folders, against).encode()
    if out is None:
        say(written.decode(), end="")
    else:
        files.write_bytes(out, written)
        say(out)


def check_options(
    table: Table | None,
    figure: Figure | None,
    given: Mapping[str, object],
    options: Mapping[str, str | None],
) -> None:
    """Refuse options that have no effect together.

    Args:
        table: what is written instead of the page.
        figure: what is drawn instead of it.
        given: --format, --grid and --against, None where not given.
        options: of figures, None where not given.

    Raises:
        InputError: naming the option.
    """
    if table is not None and figure is not None:
        raise InputError("--table and --figure exclude each other.")
    if table is None and given["--format"] is not None:
        raise InputError(
            "--format: give --table as well; a figure's format is the ending of --out."
        )
    if table is None and figure is None and given["--grid"] is not None:
        raise InputError("--grid: give --table or --figure as well.")
    if (figure or table not in (None, Table.pairs)) and given["--against"] is not None:
        raise InputError("--against: only the page and --table pairs compare with a line.")
    for option, name, of in (
        ("--with", "with_", (Figure.third, Figure.fourth)),
        ("--without", "without", (Figure.third,)),
        ("--task", "task", (Figure.fourth,)),
    ):
        if options[name] is not None and figure not in of:
            raise InputError(f"{option}: give --figure {' or '.join(of)} as well.")


def table_of(
    table: Table,
    form: Form,
    wanted: Sequence[str],
    runs: Path,
    grid: str | None,
    against: str | None,
) -> str:
    """Return a table, ready to write.

    Raises:
        InputError: a format that it does not have, or runs that it cannot show.
    """
    from amlora.cli.methods_table import methods_table
    from amlora.cli.paper_table import paper_table

    if table in (Table.first, Table.second):
        return paper_table(table.value, wanted, runs, form.value, grid)
    if form is Form.html:
        raise InputError(
            "--format html: the page is HTML without --table; --table 1 and --table 2 have it."
        )
    if table is Table.pairs:
        from amlora.cli.pairs_table import pairs_table

        return pairs_table(wanted, runs, form.value, grid, against)
    return methods_table(wanted, runs, form.value, grid)


def figure_of(
    name: Figure,
    wanted: Sequence[str],
    runs: Path,
    grid: str | None,
    out: Path | None,
    options: Mapping[str, str | None],
) -> bytes:
    """Return a figure, ready to write.

    Raises:
        InputError: a file of no known kind, or runs that hold nothing for it.
    """
    from amlora.cli.figure import check_ending, figure

    if out is not None:
        check_ending(out)
    known = {key: value for key, value in options.items() if value is not None}
    return figure(name.value, wanted, runs, grid, out, known)


def check_place(out: Path, force: bool) -> None:
    """Refuse a place that cannot or must not be written.

    Raises:
        InputError: naming it.
    """
    if out.is_dir():
        raise InputError(f"{out}: a folder, not a file to write.")
    if out.exists() and not force:
        raise InputError(f"{out}: is there already; --force overwrites it.")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent}: no such folder.")
