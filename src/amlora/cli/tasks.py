"""`amlora tasks`: the paper's 15 tasks, where their rows are, and how they are put."""

from typing import TYPE_CHECKING, Annotated

import typer

from amlora.cli.output import Json, columns, print_json, print_pairs
from amlora.cli.terminal import say
from amlora.errors import InputError, nearest
from amlora.report.format import MISSING

if TYPE_CHECKING:
    from amlora.streams.catalogue import Entry, SplitSize

HEADER = ("TASK", "CATEGORY", "OPTIONS", "TRAIN", "TEST", "LICENCE", "HUB")


def tasks(
    name: Annotated[str | None, typer.Argument(help="Show this task whole.")] = None,
    as_json: Json = False,
) -> None:
    """List the paper's tasks (TRAIN, TEST: rows of the reference benchmark), or show one."""
    from amlora.streams.catalogue import entries

    known = entries()
    if name is not None and name not in known:
        close = nearest(name, known) or f"; tasks: {', '.join(known)}."
        raise InputError(f"unknown task {name!r}{close}")
    if as_json:
        plain = {key: entry.model_dump(mode="json") for key, entry in known.items()}
        return print_json(list(plain.values()) if name is None else plain[name])
    if name is None:
        say(columns([HEADER, *map(row, known.values())]))
    else:
        print_task(known[name])


def row(entry: "Entry") -> tuple[str, ...]:
    """Return a task's line."""
    counts = (str(entry.rows.train.count), str(entry.rows.test.count))
    options = str(len(entry.labels))
    return (entry.name, entry.category, options, *counts, entry.licence, entry.hub.id)


def print_task(entry: "Entry") -> None:
    """Print all that is known of a task."""
    from amlora.streams.catalogue import PAPER_TRAIN, PAPER_VALIDATION, orders

    hub = entry.hub
    say(f"{entry.name}: {entry.category}, {entry.benchmark}, scored by {entry.metric}\n")
    print_pairs(
        [
            ("instruction", entry.instruction or "none: the text asks the question itself"),
            ("options", ", ".join(entry.labels)),
            ("listed", "yes" if entry.show_options else "no"),
            ("orders", ", ".join(name for name, order in orders().items() if entry.name in order)),
            ("licence", entry.licence),
        ]
    )
    say("\nreference benchmark")
    print_pairs(
        [
            ("folder", entry.folder),
            ("train", counted(entry.rows.train)),
            ("test", counted(entry.rows.test)),
            ("paper", f"{PAPER_TRAIN} train rows, {PAPER_VALIDATION} validation rows a label"),
        ],
        indent=2,
    )
    say("\nhub")
    unpinned = MISSING if hub.verified else "none known: not pinned, columns not verified"
    pairs: list[tuple[str, object]] = [
        ("id", hub.id),
        ("configuration", hub.config or MISSING),
        ("revision", hub.revision or unpinned),
        ("splits", f"{hub.train} (train and dev rows), {hub.test} (test rows)"),
        ("label", hub.label),
        *(("text", repr(form)) for form in hub.forms),
        *(("answer", f"{label} -> {answer}") for label, answer in hub.answers.items()),
    ]
    print_pairs(pairs, indent=2)


def counted(counts: "SplitSize") -> str:
    """Show a split's rows, and those of each label as far as known."""
    known = ", ".join(f"{label} {count}" for label, count in counts.labels.items())
    return f"{counts.count} rows{f' ({known})' if known else ''}"
