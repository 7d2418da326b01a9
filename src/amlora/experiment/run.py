"""One run: learn a stream task by task, score every task after each, leave a record behind."""

import time
from contextlib import ExitStack
from pathlib import Path

from accelerate import Accelerator

from amlora import files
from amlora.engine.load import resolve_device
from amlora.errors import InputError
from amlora.experiment.borders import summary_line
from amlora.experiment.naming import check_same, facts_of, run_name
from amlora.experiment.prepare import Prepared, prepare
from amlora.experiment.processes import agree, by_main, join
from amlora.experiment.reporter import Reporter, Silent
from amlora.experiment.settings import RunSettings
from amlora.experiment.stages import StageLoop
from amlora.records.run import RECORD, read_folder

OURS = (
    *("record.json", "checkpoint", "config.toml", "rows.jsonl", "attention.json", "measured.json"),
    *("log.jsonl", "skills", "pseudo.jsonl", ".lock"),
)
"""All names that a run writes; others in its folder are left alone."""
START_OVER = f"Delete {RECORD} to go on from the checkpoint, or give --force to start over."


def run(
    settings: RunSettings,
    *,
    runs: Path,
    force: bool = False,
    progress: Reporter | None = None,
    track: str | None = None,
) -> Path:
    """Do a run, go on with a killed one, or return at once when it is finished.

    Args:
        settings: the run.
        runs: the folder in which the run's folder lies.
        force: start over and replace a finished or half-done run.
        progress: told of every step; None for silence.
        track: a tracker of accelerate's ("tensorboard", "wandb", ...).

    Returns:
        The run's folder, runs/<name>-<method>-<hash8>-<seed>.

    Raises:
        InputError: a caller's mistake, in one line.
        Interrupted: Ctrl-C or SIGTERM, once the state is on the disk.
        NonFiniteLoss: the state before the bad step is on the disk.
    """
    started = time.perf_counter()
    # Before the model is loaded, which goes to this process's own device.
    speaks = join(resolve_device(settings.model.device)).is_main_process
    reporter = progress if progress is not None and speaks else Silent()
    prepared = prepare(settings)
    for warning in prepared.warnings:
        reporter.warn(warning)
    if found := prepared.identity.boundaries:
        reporter.note(summary_line(found))
    folder = runs / run_name(settings)
    accelerator = Accelerator(
        cpu=prepared.backbone.model.device.type == "cpu",
        log_with=track,
        project_dir=str(folder) if track else None,
    )
    other = f"{folder.name}: other processes read other data, settings or weights."
    agree(accelerator, files.digest(facts_of(prepared.identity)), other)
    if accelerator.num_processes > 1:
        reporter.note(f"{accelerator.num_processes} processes.")
    with ExitStack() as held:

        def claim() -> bool:
            """Lock the folder, and tell whether its run is finished."""
            check_folder(folder)
            held.enter_context(files.lock(folder))
            if force:
                start_over(folder)
            if not files.exists(folder / RECORD):
                return False
            check_finished(folder, prepared)
            tidy(folder)
            return True

        if by_main(accelerator, claim):
            reporter.note(f"{folder}: finished already.")
            return folder
        if track:
            accelerator.init_trackers(settings.name)
        StageLoop(prepared, folder, accelerator, reporter, started).run()
        if track:
            accelerator.end_training()
    return folder


def check_folder(folder: Path) -> None:
    """Refuse to run in a folder that is a link, or in which something of ours leads elsewhere."""
    if folder.is_symlink():
        raise InputError(f"{folder}: a link; a run writes to a folder of its own.")
    for name in OURS:
        files.check_own(folder / name)


def check_finished(folder: Path, prepared: Prepared) -> None:
    """Refuse a record that is not this run's, or that does not fit what lies beside it.

    Until then nothing that the run may go on from is removed.
    """
    try:
        record = read_folder(folder).record
    except InputError as error:
        raise InputError(f"{error} {START_OVER}") from None
    check_same(folder, facts_of(record), facts_of(prepared.identity))


def tidy(folder: Path) -> None:
    """Remove what a kill right after the record was written leaves."""
    files.discard(folder / "checkpoint")
    files.sweep(folder)


def start_over(folder: Path) -> None:
    """Discard all of a run but its lock, so that a kill leaves the whole run or none.

    What is not ours stays.
    """
    # The record goes first: while it is there, all that it speaks of is there too.
    for name in (RECORD, "checkpoint", *OURS):
        if name != ".lock":
            files.discard(folder / name)
    files.sweep(folder)
