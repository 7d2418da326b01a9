"""The paper's tables 1 and 2 on the page, where runs of its orders are there."""

from collections.abc import Sequence
from dataclasses import dataclass

from amlora.errors import InputError
from amlora.records.run import StoredRun as Run
from amlora.report.known import Known
from amlora.report.paper_lines import order_of
from amlora.report.paper_render import above, below, headings, strings
from amlora.report.paper_table import PaperTable, paper_tables
from amlora.report.published import published
from amlora.report.typeset import Sheet


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTableView:
    """One table for one base model and protocol of own runs."""

    anchor: str
    short: str
    """Its title in the list of contents."""
    said: tuple[str, ...]
    sheet: Sheet
    kinds: tuple[str, ...]
    """Of each row: "own", "primary" or "secondary"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperView:
    """Both tables, and what could not be shown."""

    tables: tuple[PaperTableView, ...]
    notes: tuple[str, ...]


def paper_view(runs: Sequence[Run], known: Known) -> PaperView | None:
    """Return the paper's tables with runs of its orders; None without such runs or protocols."""
    if not known.protocols or not any(order_of(run, known.orders) for run in runs):
        return None
    tables: list[PaperTableView] = []
    notes: list[str] = []
    for number in published():
        try:
            made, said = paper_tables(
                number, runs, orders=known.orders, protocols=known.protocols, facts=known.facts
            )
        except InputError as error:
            notes.append(f"Table {number} is not shown: {error}")
            continue
        own = [table for table in made if table.side is not None]
        tables.extend(
            table_view(
                table,
                f"Table {number}" if len(own) == 1 else f"Table {number}, {place} of {len(own)}",
                f"paper-{number}-{place}",
            )
            for place, table in enumerate(own, start=1)
        )
        if own:
            notes.extend(f"Table {number}. {note}" for note in said)
    return PaperView(tables=tuple(tables), notes=tuple(notes)) if tables or notes else None


def table_view(table: PaperTable, short: str, anchor: str) -> PaperTableView:
    """Put one table into strings."""
    title, *said = above(table)
    return PaperTableView(
        anchor=anchor,
        short=short,
        said=tuple(said),
        sheet=Sheet(
            heading=title,
            columns=headings(table),
            rows=[strings(table, row) for row in table.rows],
            remarks=below(table),
        ),
        kinds=tuple(row.read for row in table.rows),
    )
