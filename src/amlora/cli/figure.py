"""`amlora report --figure`: one of the paper's figures, drawn to a file or as numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amlora.errors import InputError

if TYPE_CHECKING:
    from amlora.report.paper_figures import Name
    from amlora.report.studies.layout import Kind

DRAWN: "Mapping[str, Kind]" = {".svg": "svg", ".png": "png", ".pdf": "pdf"}
ENDINGS = (*DRAWN, ".csv", ".md")


def check_ending(out: Path) -> None:
    """Refuse a file whose name does not tell what to write.

    Raises:
        InputError: naming it.
    """
    if out.suffix.lower() not in ENDINGS:
        raise InputError(f"{out}: name a file that ends in {', '.join(ENDINGS[:-1])} or .md.")


def figure(
    name: "Name",
    wanted: Sequence[str],
    runs: Path,
    grid: str | None,
    out: Path | None,
    options: Mapping[str, str],
) -> bytes:
    """Return a figure, ready to write: by the ending of `out`, or as text without one.

    Args:
        name: which.
        wanted: runs or folders of runs; with a grid, one store.
        runs: where runs are looked up by name.
        grid: a grid file, to show its runs alone, by its labels.
        out: the file, whose ending says what is made.
        options: `with_`, `without` and `task` of `report.paper_figures.studies`, as far as given.

    Raises:
        InputError: runs that hold nothing for it, or matplotlib is not installed.
    """
    from amlora.cli.methods_table import scored_runs
    from amlora.report.paper_figures import WITH, WITHOUT, needs, studies
    from amlora.report.studies.layout import drawing
    from amlora.report.studies.study import as_sheet, plain_values
    from amlora.report.typeset import comma_separated, typeset

    with_, without = options.get("with_", WITH), options.get("without", WITHOUT)
    found, labels, notes = scored_runs(wanted, runs, grid)
    made = studies(
        name, found, labels=labels, with_=with_, without=without, task=options.get("task")
    )
    if not made:
        there = ", ".join(sorted({run.record.method for run in found}))
        raise InputError(
            f"figure {name} needs {needs(name, with_=with_, without=without)};"
            f" there are runs of: {there}."
        )
    ending = out.suffix.lower() if out else ""
    if ending in DRAWN:
        try:
            return drawing(made, DRAWN[ending])
        except ModuleNotFoundError as error:
            raise InputError(
                f"a drawing needs {error.name}; install it with: pip install 'amlora[report]'."
            ) from None
    if ending == ".csv":
        return comma_separated(plain_values(made)).encode()
    form = "markdown" if ending == ".md" else "text"
    return typeset([as_sheet(study) for study in made], form, notes).encode()
