"""`amlora show`: one run's result."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from amlora.cli.output import Json, columns, matrix, print_json, print_pairs
from amlora.cli.terminal import say
from amlora.printable import one_line
from amlora.report.format import MISSING, count, nats, percent, points, seconds, size

SIGNED = ("bwt", "fwt")
MOMENTS = ("before learning", "at the end")
METRICS = ("average", "micro_average", "forgetting", "bwt", "fwt", "learning_accuracy")


def show(
    wanted: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's folder, name, or the name's start.")
    ],
    runs: Annotated[Path, typer.Option("--runs", help="Where runs are looked up by name.")] = Path(
        "runs"
    ),
    as_json: Json = False,
) -> None:
    """Show a finished run: accuracy matrix, metrics, stages, settings, where it was made."""
    from amlora.experiment.store import find_run, read_measured, read_record
    from amlora.experiment.toml import write_toml
    from amlora.report import read

    folder = find_run(wanted, runs)
    record, measured = read_record(folder), read_measured(folder)
    if as_json:
        return print_json({"folder": str(folder), "record": record, "measured": measured})
    say(one_line(str(folder)))
    about = f"{record['method']} on {record['model']['name']}, seed {record['seed']}"
    say(f"{one_line(about)}\n")
    say(f"{matrix(record)}\n")
    print_pairs([(name, shown(name, record["metrics"].get(name))) for name in METRICS])
    say("\nstages")
    print_pairs([(stage["task"], stage_line(stage)) for stage in record["stages"]], indent=2)
    for stage in record["stages"]:
        for line in stage.get("remarks", ()):
            say(one_line(f"  {stage['task']}: {line}"))
    if lost := read.lost_texts(read.read_record(folder / "record.json")):
        say("\ntexts")
        say("\n".join(f"  {one_line(line)}" for line in lost))
    if found := record.get("boundaries"):
        say(f"\nborders\n{columns(border_rows(record['tasks'], found))}")
    if routing := record.get("routing"):
        say("\nrows by the stage that answered")
        print_pairs([*routing_pairs(routing)], indent=2)
    if general := record.get("general"):
        say("\ntexts and questions of no task")
        print_pairs([*zip(MOMENTS, map(general_line, general), strict=True)], indent=2)
    if measured:
        say("\nmeasured")
        print_pairs(measured_pairs(measured), indent=2)
    say(f"\nsettings\n{write_toml(record['settings'])}", end="")


def shown(name: str, value: float | None) -> str:
    """Show a metric in points; differences with their sign."""
    return points(value) if name in SIGNED else percent(value)


def stage_line(stage: Mapping[str, Any]) -> str:
    """Say what a stage did."""
    return (
        f"{stage['steps']} steps, {stage['rows']} rows, {count(stage['trainable_parameters'])}"
        f" parameters trained, {count(stage['stored_parameters'])} stored"
    )


def border_rows(tasks: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> list[list[str]]:
    """Return a table of the true borders, and after how many rows each was found."""
    rows = [["task", "first row", "found after, rows", "learned in stage"]]
    starts = [0, *found["true"]]
    late = [MISSING, *("missed" if d is None else str(d) for d in found["delays"])]
    for task, start, delay, stage in zip(tasks, starts, late, found["learned"], strict=True):
        rows.append([task["name"], str(start), delay, str(stage)])
    return [*rows, ["false alarms", "", str(found["false_alarms"]), ""]]


def routing_pairs(routing: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say for each task which stages answered its rows."""
    pairs: list[tuple[str, str]] = []
    for task, shares in zip(routing["tasks"], routing["shares"], strict=True):
        named = zip(routing["stages"], shares, strict=True)
        told = [f"{name} {percent(share)} %" for name, share in named if share]
        pairs.append((task, ", ".join(told)))
    return pairs


def general_line(moment: Mapping[str, Any]) -> str:
    """Say how the model did on texts and questions of no task."""
    told = (
        f"loss {nats(moment['loss'])} nats a token, {moment['right']} of {moment['questions']}"
        f" questions right, {moment['begun']} begun right"
    )
    rejected = moment.get("rejected")
    return told if rejected is None else f"{told}, {percent(rejected)} % sent to the base model"


def measured_pairs(measured: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Choose from measured.json what a person wants to see."""
    versions = measured.get("versions", {})
    git = measured.get("git") or {}
    commit = git.get("commit")
    changed = " (with changes)" if git.get("dirty") else ""
    device = measured.get("device", {})
    cards = [card["name"] for card in device.get("accelerators", [])]
    return [
        ("finished", measured.get("finished") or MISSING),
        ("time", seconds(measured.get("seconds", {}).get("total"))),
        ("tokens per second", count(measured.get("tokens_per_second"))),
        ("peak memory", size(measured.get("peak_memory_bytes"))),
        ("versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
        ("git", f"{commit[:12]}{changed}" if commit else MISSING),
        ("device", f"{', '.join(cards) or device.get('cpu')}, {device.get('threads')} threads"),
    ]
