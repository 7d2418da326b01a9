"""`amlora data`: the built-in tasks, and their rows as a file to try `amlora learn` on."""

import csv
import io
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amlora import files
from amlora.cli.output import Force, Json, check_place, columns, print_json, print_pairs, put
from amlora.cli.terminal import say, tell
from amlora.errors import InputError

if TYPE_CHECKING:
    from amlora.streams.quickstart import Part
    from amlora.streams.task import Example

FOLDER = "quickstart/"
ENDINGS = (".csv", ".jsonl")
SHOWN = 3  # rows


def data(
    name: Annotated[
        str | None, typer.Argument(metavar="TASK", help="As in quickstart/sms: show this task.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write its rows to this .csv or .jsonl file.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", min=1, help="Write so many, of each label its share.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """List the built-in tasks, show one, or write its rows to a file."""
    from amlora.streams.quickstart import BUILT_IN, built_in_part

    if name is None:
        if out is not None or rows is not None:
            raise InputError("--out and --rows: name a task whose rows are written.")
        return show_all(list(BUILT_IN.values()), as_json)
    part = built_in_part(name.removeprefix(FOLDER))
    if out is None:
        if rows is not None:
            raise InputError("--rows: says how many rows go into a file; name one by --out.")
        return show(part, as_json)
    if out.suffix not in ENDINGS:
        raise InputError(f"--out: {out} must end in one of {', '.join(ENDINGS)}.")
    check_place(out, force)
    put(write_rows(chosen_rows(part, rows), out.suffix), out)
    words = ["amlora", "learn", "skills", "--task", part.name, "--data", str(out)]
    tell(f"next: {shlex.join([*words, '--instruction', part.instruction])}")


def show_all(parts: list["Part"], as_json: bool) -> None:
    """Print a line for each built-in task."""
    if as_json:
        return print_json(list(map(facts, parts)))
    lines = [("TASK", "ROWS", "ANSWERS", "PACKAGE", "TERMS")]
    for part in parts:
        package = f"{part.package}=={part.version}"
        lines.append((FOLDER + part.name, f"{count(part):,}", answers(part), package, part.terms))
    say(columns(lines))


def show(part: "Part", as_json: bool) -> None:
    """Print what is known of a task, and its first rows."""
    examples = chosen_rows(part, SHOWN)
    if as_json:
        return print_json(facts(part) | {"examples": plain(examples)})
    say(f"{FOLDER}{part.name}: {count(part):,} rows\n")
    print_pairs(
        [
            ("instruction", part.instruction),
            ("answers", answers(part)),
            ("package", f"{part.package}=={part.version}"),
            ("terms", part.terms),
        ]
    )
    for example in examples:
        say(f"\n{example.text}\n-> {example.label}")


def facts(part: "Part") -> dict[str, object]:
    """Return what is known of a task without its texts."""
    return {
        "name": FOLDER + part.name,
        "rows": count(part),
        "instruction": part.instruction,
        "options": list(part.options),
        "package": part.package,
        "version": part.version,
        "sha256": part.sha256,
        "terms": part.terms,
    }


def count(part: "Part") -> int:
    """Return how many rows a task has."""
    return sum(part.per_label) * max(1, len(part.options))


def answers(part: "Part") -> str:
    """Return a task's options, for a reader."""
    return ", ".join(part.options) or "free text"


def chosen_rows(part: "Part", most: int | None) -> list["Example"]:
    """Return rows of a task in a seeded order, labels mixed; the texts are fetched if need be."""
    from amlora.streams.quickstart import SPLIT_SEED, built_in_task
    from amlora.streams.sample import draw, take

    task = built_in_task(part.name)
    rows = [*task.train, *task.dev, *task.test]
    if most is not None and most < len(rows):
        given = {"seed": SPLIT_SEED, "task": part.name, "by_label": bool(task.options)}
        _, rows = take(rows, most, split="file", **given)
    return draw(rows, seed=SPLIT_SEED, task=part.name)


def write_rows(rows: list["Example"], ending: str) -> str:
    """Return rows as the text of a file that `amlora learn` reads."""
    if ending == ".jsonl":
        return "".join(f"{files.line(row)}\n" for row in plain(rows))
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows([("text", "label"), *((row.text, row.label) for row in rows)])
    return table.getvalue()


def plain(rows: Iterable["Example"]) -> list[dict[str, str]]:
    """Return texts and labels as plain values."""
    return [{"text": row.text, "label": row.label} for row in rows]
