"""`amlora ls`, `amlora show` and `amlora pack`: stored runs, one by one or as a few files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amlora.cli.output import RUNS, ByName, Json, columns, matrix, print_json, print_pairs
from amlora.cli.skills import is_skills, show_skills
from amlora.cli.terminal import say, tell
from amlora.errors import InputError
from amlora.printable import one_line
from amlora.report.format import MISSING, count, metric, nats, percent, seconds, size

if TYPE_CHECKING:
    from amlora.records.beside import Measured
    from amlora.records.schema import Record, Unrelated

HEADER = ("RUN", "METHOD", "SEED", "STATE", "AVERAGE", "FORGETTING", "FINISHED")


def ls(
    runs: Annotated[
        Path, typer.Argument(metavar="RUNS", help="A folder of runs, a pack, or a run.")
    ] = RUNS,
    as_json: Json = False,
) -> None:
    """List runs: method, seed, state, average accuracy and forgetting (points)."""
    from dataclasses import asdict

    from amlora.records.store import list_runs, packs_in

    found = list_runs(runs)
    if as_json:
        return print_json([asdict(run) for run in found])
    rows: list[tuple[str, ...]] = [HEADER]
    for run in found:
        state = "damaged" if run.problem else "finished" if run.finished else "unfinished"
        seed = MISSING if run.seed is None else str(run.seed)
        scores = (percent(run.average), percent(run.forgetting))
        when = (run.when or MISSING)[:16]
        rows.append((run.folder.name, run.method or MISSING, seed, state, *scores, when))
    if found:
        say(columns(rows))
    else:
        packs = ", ".join(packs_in(runs))
        tell(one_line(f"{runs}: no runs{f', but packs of runs: {packs}' if packs else '.'}"))
    for run in found:
        if run.problem:
            say(one_line(f"damaged: {run.problem}"))


def pack(
    runs: Annotated[
        Path, typer.Argument(metavar="RUNS", help="A folder of runs, or another pack.")
    ],
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", help="The folder that the pack is written to.")
    ],
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
    bytes_ = sum(file.stat().st_size for file in study.iterdir() if file.is_file())
    said = f"{len(found)} runs, {len(choices)} choices of rates, {bytes_ / 1e6:.2f} MB"
    say(one_line(f"{study}: {said}; every seal and digest holds."))


def show(
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SKILLS", help="A run's folder, name, or the name's start; or skills."
        ),
    ],
    runs: ByName = RUNS,
    as_json: Json = False,
) -> None:
    """Show a finished run, its matrix, metrics, stages, settings and origin; or a skills folder."""
    if is_skills(wanted):
        return show_skills(wanted, as_json)

    from amlora.experiment.toml import write_toml
    from amlora.formats import sealed
    from amlora.records.store import find_run, read_run
    from amlora.report.matrix import lost_texts

    run = read_run(find_run(wanted, runs))
    record = run.record
    if as_json:
        plain = sealed(record.model_dump(mode="json"))
        measured = run.measured.model_dump()
        return print_json({"folder": str(run.path), "record": plain, "measured": measured})
    say(one_line(str(run.path)))
    say(f"{one_line(f'{record.method} on {record.model.name}, seed {record.seed}')}\n")
    say(f"{matrix(record)}\n")
    print_pairs([(name, metric(value, name)) for name, value in record.metrics])
    say("\nstages")
    print_pairs(
        [
            (
                stage.task,
                f"{stage.steps} steps, {stage.rows} rows, {count(stage.trainable_parameters)}"
                f" parameters trained, {count(stage.stored_parameters)} stored",
            )
            for stage in record.stages
        ],
        indent=2,
    )
    for stage in record.stages:
        for line in stage.remarks:
            say(one_line(f"  {stage.task}: {line}"))
    if lost := lost_texts(record):
        say("\ntexts")
        say("\n".join(f"  {one_line(line)}" for line in lost))
    if record.boundaries:
        say(f"\nborders\n{columns(border_rows(record))}")
    if routing := record.routing:
        say("\nrows by the stage that answered")
        told = [
            ", ".join(f"{n} {percent(x)} %" for n, x in zip(routing.stages, row, strict=True) if x)
            for row in routing.shares
        ]
        print_pairs([*zip(routing.tasks, told, strict=True)], indent=2)
    if record.general:
        say("\ntexts and questions of no task")
        moments = ("before learning", "at the end")
        print_pairs([*zip(moments, map(general_line, record.general), strict=True)], indent=2)
    if run.measured.finished:
        say("\nmeasured")
        print_pairs(measured_pairs(run.measured), indent=2)
    say(f"\nsettings\n{write_toml(record.settings)}", end="")


def border_rows(record: "Record") -> list[list[str]]:
    """Return a table of the true borders, and after how many rows each was found."""
    found = record.boundaries
    assert found is not None
    rows = [["task", "first row", "found after, rows", "learned in stage"]]
    starts = [0, *found.true]
    late = [MISSING, *("missed" if d is None else str(d) for d in found.delays)]
    for task, start, delay, stage in zip(record.tasks, starts, late, found.learned, strict=True):
        rows.append([task.name, str(start), delay, str(stage)])
    return [*rows, ["false alarms", "", str(found.false_alarms), ""]]


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
        ("device", f"{', '.join(cards) or device.cpu}, threads: {device.threads}"),
    ]
