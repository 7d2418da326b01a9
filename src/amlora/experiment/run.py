"""One run: learn a stream task by task, score every task after each, leave a record behind."""

import time
from contextlib import nullcontext
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import DistributedType

from amlora import files
from amlora.errors import InputError
from amlora.experiment import progress as display
from amlora.experiment.config import RunSettings
from amlora.experiment.prepare import prepare
from amlora.experiment.record import RECORD
from amlora.experiment.work import Work


def run(
    settings: RunSettings,
    *,
    runs: Path,
    force: bool = False,
    progress: display.Progress | None = None,
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
    told = display.Silent() if progress is None else progress
    started = time.perf_counter()
    made = prepare(settings)
    for warning in made.warnings:
        told.warn(warning)
    settings = made.settings
    name = (
        f"{settings.name}-{settings.method.name}-{files.digest(made.identity)[:8]}-{settings.seed}"
    )
    folder = runs / name
    accelerator = Accelerator(
        cpu=made.backbone.model.device.type == "cpu",
        log_with=track,
        project_dir=str(folder) if track else None,
    )
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        raise InputError(
            f"{accelerator.distributed_type.value}: sharded training is not supported, because"
            " penalties read whole parameters; use plain data parallelism."
        )
    with files.lock(folder) if accelerator.is_main_process else nullcontext():
        if force and accelerator.is_main_process:
            files.clear(folder, keep=(".lock",))
        accelerator.wait_for_everyone()
        if (folder / RECORD).exists():
            told.note(f"{folder}: finished already.")
            return folder
        if track:
            accelerator.init_trackers(settings.name)
        Work(made, folder, accelerator, told, started).all()
        if track:
            accelerator.end_training()
    return folder
