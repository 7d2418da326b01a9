"""`amlora show`: one run's result."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amlora.cli.output import Json, columns, matrix, print_json, print_pairs
from amlora.cli.terminal import say
from amlora.printable import one_line
from amlora.report.format import MISSING, count, nats, percent, points, seconds, size

if TYPE_CHECKING:
    from amlora.records.beside import Measured
    from amlora.records.schema import Boundaries, Routing, StageFacts, TaskFacts, Unrelated

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
    from amlora.experiment.toml import write_toml
    from amlora.records.store import find_run, read_run
    from amlora.report.matrix import lost_texts

    run = read_run(find_run(wanted, runs))
    record = run.record
    if as_json:
        plain = {"record": record.model_dump(mode="json"), "measured": run.measured.model_dump()}
        return print_json({"folder": str(run.path), **plain})
    say(one_line(str(run.path)))
    say(f"{one_line(f'{record.method} on {record.model.name}, seed {record.seed}')}\n")
    say(f"{matrix(record)}\n")
    print_pairs([(name, shown(name, getattr(record.metrics, name))) for name in METRICS])
    say("\nstages")
    print_pairs([(stage.task, stage_line(stage)) for stage in record.stages], indent=2)
    for stage in record.stages:
        for line in stage.remarks:
            say(one_line(f"  {stage.task}: {line}"))
    if lost := lost_texts(record):
        say("\ntexts")
        say("\n".join(f"  {one_line(line)}" for line in lost))
    if record.boundaries:
        say(f"\nborders\n{columns(border_rows(record.tasks, record.boundaries))}")
    if record.routing:
        say("\nrows by the stage that answered")
        print_pairs([*routing_pairs(record.routing)], indent=2)
    if record.general:
        say("\ntexts and questions of no task")
        print_pairs([*zip(MOMENTS, map(general_line, record.general), strict=True)], indent=2)
    if run.measured.finished:
        say("\nmeasured")
        print_pairs(measured_pairs(run.measured), indent=2)
    say(f"\nsettings\n{write_toml(record.settings)}", end="")


def shown(name: str, value: float | None) -> str:
    """Show a metric in points; differences with their sign."""
    return points(value) if name in SIGNED else percent(value)


def stage_line(stage: "StageFacts") -> str:
    """Say what a stage did."""
    return (
        f"{stage.steps} steps, {stage.rows} rows, {count(stage.trainable_parameters)}"
        f" parameters trained, {count(stage.stored_parameters)} stored"
    )


def border_rows(tasks: "Sequence[TaskFacts]", found: "Boundaries") -> list[list[str]]:
    """Return a table of the true borders, and after how many rows each was found."""
    rows = [["task", "first row", "found after, rows", "learned in stage"]]
    starts = [0, *found.true]
    late = [MISSING, *("missed" if d is None else str(d) for d in found.delays)]
    for task, start, delay, stage in zip(tasks, starts, late, found.learned, strict=True):
        rows.append([task.name, str(start), delay, str(stage)])
    return [*rows, ["false alarms", "", str(found.false_alarms), ""]]


def routing_pairs(routing: "Routing") -> list[tuple[str, str]]:
    """Say for each task which stages answered its rows."""
    pairs: list[tuple[str, str]] = []
    for task, shares in zip(routing.tasks, routing.shares, strict=True):
        named = zip(routing.stages, shares, strict=True)
        pairs.append((task, ", ".join(f"{name} {percent(each)} %" for name, each in named if each)))
    return pairs


def general_line(moment: "Unrelated") -> str:
    """Say how the model did on texts and questions of no task."""
    told = (
        f"loss {nats(moment.loss)} nats a token, {moment.right} of {moment.questions}"
        f" questions right, {moment.begun} begun right"
    )
    rejected = moment.rejected
    return told if rejected is None else f"{told}, {percent(rejected)} % sent to the base model"


def measured_pairs(measured: "Measured") -> list[tuple[str, object]]:
    """Choose from what was measured what a person wants to see."""
    git, device = measured.git, measured.device
    changed = " (with changes)" if git.dirty else ""
    cards = [card.name for card in device.accelerators]
    return [
        ("finished", measured.finished),
        ("time", seconds(measured.seconds.get("total"))),
        ("tokens per second", count(measured.tokens_per_second)),
        ("peak memory", size(measured.peak_memory_bytes)),
        ("versions", ", ".join(f"{name} {number}" for name, number in measured.versions.items())),
        ("git", f"{git.commit[:12]}{changed}" if git.commit else MISSING),
        ("device", f"{', '.join(cards) or device.cpu}, {device.threads} threads"),
    ]
