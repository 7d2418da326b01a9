"""`amlora tasks` and `amlora orders`: the paper's 15 tasks, its six orders, and their lambdas."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from amlora.cli.output import Json, columns, print_json, print_pairs
from amlora.cli.terminal import say
from amlora.errors import InputError, nearest
from amlora.report.format import MISSING

if TYPE_CHECKING:
    from amlora.streams.catalogue import Entry, SplitSize


def tasks(
    name: Annotated[
        str | None, typer.Argument(metavar="TASK", help="Show this task whole.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the paper's tasks (TRAIN, TEST: rows of the reference benchmark), or show one."""
    from amlora.streams.catalogue import entries

    known = entries()
    check_known("task", name, known)
    if as_json:
        plain = {key: entry.model_dump(mode="json") for key, entry in known.items()}
        print_json(list(plain.values()) if name is None else plain[name])
    elif name is not None:
        print_task(known[name])
    else:
        rows = [("TASK", "CATEGORY", "OPTIONS", "TRAIN", "TEST", "LICENCE", "HUB")]
        for entry in known.values():
            options, train, test = len(entry.labels), entry.rows.train.count, entry.rows.test.count
            numbers = (str(options), str(train), str(test))
            rows.append((entry.name, entry.category, *numbers, entry.licence, entry.hub.id))
        say(columns(rows))


def orders(
    name: Annotated[
        str | None, typer.Argument(metavar="ORDER", help="Show this order's lambdas as well.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the paper's orders (table 4), or show one with its lambdas (section 7.3)."""
    from amlora.streams.catalogue import details

    known = details()
    check_known("order", name, known)
    if as_json:
        plain = {key: order.model_dump(mode="json") for key, order in known.items()}
        print_json(plain if name is None else plain[name])
    elif name is None:
        rows = [(order, ", ".join(found.tasks)) for order, found in known.items()]
        say(columns([("ORDER", "TASKS"), *rows]))
    else:
        found = known[name]
        values = [*map(repr, found.sparsity)]
        print_pairs([*zip(found.tasks, values, strict=True)])
        say(f"\n--set stream.order={name} --set 'method.sparsity=[{', '.join(values)}]'")


def check_known(what: str, name: str | None, known: Mapping[str, object]) -> None:
    """Refuse a name that the catalogue lacks."""
    if name is not None and name not in known:
        close = nearest(name, known) or f"; {what}s: {', '.join(known)}."
        raise InputError(f"unknown {what} {name!r}{close}")


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
    print_pairs(
        [
            ("id", hub.id),
            ("configuration", hub.config or MISSING),
            ("revision", hub.revision or unpinned),
            ("splits", f"{hub.train} (train and dev rows), {hub.test} (test rows)"),
            ("label", hub.label),
            *(("text", repr(form)) for form in hub.forms),
            *(("answer", f"{label} -> {answer}") for label, answer in hub.answers.items()),
        ],
        indent=2,
    )


def counted(counts: "SplitSize") -> str:
    """Show a split's rows, and those of each label as far as known."""
    known = ", ".join(f"{label} {count}" for label, count in counts.labels.items())
    return f"{counts.count} rows{f' ({known})' if known else ''}"
