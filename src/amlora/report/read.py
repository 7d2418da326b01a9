"""Read a run folder: what is in it, typed and checked, every fault named with its file.

Only the fields that a report shows are read; unknown ones are left alone, so that a record of a
later version of the same format still opens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from amlora import files
from amlora.errors import InputError
from amlora.evaluate.lost import lost_lines
from amlora.formats import typed, unicode
from amlora.records import Counts as Counts
from amlora.records import (
    Measured,
    Record,
    Share,
    as_record,
    check_files,
    check_shape,
    read_measured,
)
from amlora.records import Metrics as Metrics
from amlora.records import entered_stages as entered_stages


class Attention(msgspec.Struct, frozen=True):
    """attention.json: mean scores (task, module, 1 + N), how sparse they are, and who leads rows.

    The latter two are per task and module.
    """

    modules: tuple[str, ...]
    loras: tuple[str, ...]
    tasks: tuple[str, ...]
    mean: tuple[tuple[tuple[Share, ...], ...], ...]
    top90: tuple[tuple[float, ...], ...]
    effective: tuple[tuple[float, ...], ...]
    picked: tuple[tuple[float | None, ...], ...] = ()
    """Empty in files of versions that did not measure it; None for a task without its own LoRA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run folder as read. `config` is the text of config.toml, "" where there is none."""

    folder: Path
    record: Record
    measured: Measured
    attention: Attention | None
    config: str


def lost_texts(record: Record) -> list[str]:
    """Say what tokenising lost of each task's texts; nothing where nothing is, or none counted."""
    model = record.settings.get("model")
    longest = model.get("max_tokens", 0) if isinstance(model, dict) else 0
    lines: list[str] = []
    for task in record.tasks:
        rows = {"train": task.train, "dev": task.dev, "test": task.test}
        counts = {name: (lost, rows[name]) for name, lost in task.lost.items() if name in rows}
        lines += lost_lines(task.name, counts, longest)
    return lines


def read_record(path: Path) -> Record:
    """Read and check a record.json.

    Raises:
        InputError: absent, altered, of another format, or its matrices do not fit its tasks.
    """
    if not files.exists(path):
        raise InputError(f"{path}: no such file; is this the folder of a run?")
    return as_record(path, files.read_sealed(path))


def read_attention(path: Path) -> Attention:
    """Read and check an attention.json; its first LoRA is the zero LoRA, "none".

    Raises:
        InputError: tables that do not fit together.
    """
    attention = typed(path, files.read_json(path), Attention)
    shape = len(attention.tasks), len(attention.modules)
    for what, table in (("top90", attention.top90), ("effective", attention.effective)):
        check_shape(path, what, table, shape[1])
    for modules in attention.mean:
        check_shape(path, "mean", modules, len(attention.loras))
    if attention.picked:
        check_shape(path, "picked", attention.picked, shape[1])
    sizes = [len(attention.mean), len(attention.top90), len(attention.effective)]
    sizes.append(len(attention.picked) or shape[0])
    if sizes != [shape[0]] * 4 or any(len(modules) != shape[1] for modules in attention.mean):
        raise InputError(f"{path}: its tables are not {shape[0]} tasks by {shape[1]} modules.")
    return attention


def read_run(folder: Path) -> Run:
    """Read a run folder; only record.json must be there.

    Raises:
        InputError: a file that is absent, truncated or does not fit, in one line with its path.
    """
    measured, attention, config = (
        folder / name for name in ("measured.json", "attention.json", "config.toml")
    )
    record = read_record(folder / "record.json")
    check_files(folder, record, all_there=False)
    return Run(
        folder=folder,
        record=record,
        measured=read_measured(measured) if files.exists(measured) else Measured(),
        attention=read_attention(attention) if files.exists(attention) else None,
        config=read_config(config) if files.exists(config) else "",
    )


def read_config(path: Path) -> str:
    """Return the text of a config.toml."""
    return unicode(path, files.read_bytes(path, most=files.MOST))


def labels(runs: Sequence[Run]) -> list[str]:
    """One distinct label per run: its name, method, seed and folder, as far as needed."""
    ways = (
        lambda run: run.record.name,
        lambda run: run.record.method,
        lambda run: f"{run.record.name}, {run.record.method}",
        lambda run: f"{run.record.method}, seed {run.record.seed}",
        lambda run: f"{run.record.name}, seed {run.record.seed}",
        lambda run: f"{run.record.name}, seed {run.record.seed} ({run.folder.name})",
        lambda run: f"{run.record.name}, seed {run.record.seed} ({run.folder})",
    )
    for way in ways:
        if len(set(found := [way(run) for run in runs])) == len(runs):
            return found
    raise InputError("the same run folder is given twice.")
