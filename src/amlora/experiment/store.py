"""The run folders on disk: list them, find one by name, read a record after checking it.

Nothing altered is read: the record carries a digest of itself and of the files it speaks of, and
a mismatch is an InputError that names the file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amlora import files, records
from amlora.errors import InputError, nearest
from amlora.experiment.toml import read_toml
from amlora.records import as_record, check_files

FORMAT = 1
CONFIG, RECORD, MEASURED = "config.toml", "record.json", "measured.json"
NEEDED = (
    *("name", "seed", "method", "settings", "settings_digest", "model", "tasks", "R", "stages"),
    *("metrics", "rows_digest"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One line of `amlora ls`."""

    folder: Path
    name: str = ""
    method: str = ""
    seed: int | None = None
    finished: bool = False
    average: float | None = None  # 0..1, over tasks, after the last stage
    forgetting: float | None = None  # 0..1
    when: str | None = None  # ISO time at which it finished
    problem: str = ""  # why the folder cannot be read; "" when it can


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run's; one that cannot be looked into may be."""
    try:
        return any(files.exists(folder / name) for name in (CONFIG, RECORD))
    except OSError:
        return True


def run_folders(runs: Path) -> list[Path]:
    """Return the run folders directly inside a folder, by name.

    Raises:
        InputError: no such folder.
    """
    if not runs.is_dir():
        raise InputError(f"{runs}: no such folder of runs.")
    return sorted(folder for folder in runs.iterdir() if is_run(folder))


def list_runs(runs: Path) -> list[Summary]:
    """Return a line for every run in a folder; a damaged one says so and does not stop the list."""
    return [summary(folder) for folder in run_folders(runs)]


def summary(folder: Path) -> Summary:
    """Return one run's line."""
    try:
        if not finished(folder):
            settings = read_toml(folder / CONFIG)
            method = settings.get("method")
            return Summary(
                folder=folder,
                name=str(settings.get("name", "")),
                method=str(method.get("name", "")) if isinstance(method, dict) else "",
                seed=seed if isinstance(seed := settings.get("seed"), int) else None,
            )
        record = read_record(folder)
        measured = read_measured(folder)
    except InputError as error:
        return Summary(folder=folder, problem=str(error))
    except OSError as error:
        return Summary(folder=folder, problem=f"{error.filename}: {error.strerror}.")
    return Summary(
        folder=folder,
        name=record["name"],
        method=record["method"],
        seed=record["seed"],
        finished=True,
        average=record["metrics"].get("average"),
        forgetting=record["metrics"].get("forgetting"),
        when=measured.get("finished"),
    )


def finished(folder: Path) -> bool:
    """Return whether a run has its record, which is written last."""
    return files.exists(folder / RECORD)


def find_run(wanted: str, runs: Path) -> Path:
    """Find one run by its folder's path, its name inside `runs`, or the start of that name.

    Raises:
        InputError: none or several fit.
    """
    if is_run(Path(wanted)):
        return Path(wanted)
    if Path(wanted).is_dir():
        raise InputError(f"{wanted}: not a run folder; it has neither {CONFIG} nor {RECORD}.")
    folders = {folder.name: folder for folder in run_folders(runs)}
    wanted = wanted.rstrip("/")
    if wanted in folders:
        return folders[wanted]
    fitting = [name for name in folders if name.startswith(wanted)]
    if len(fitting) == 1:
        return folders[fitting[0]]
    if fitting:
        raise InputError(f"{wanted}: {len(fitting)} runs in {runs} begin so: {first(fitting)}.")
    close = nearest(wanted, folders) or f"; there are: {first(list(folders)) or 'none'}."
    raise InputError(f"{wanted}: no such run in {runs}{close}")


def find_runs(wanted: Sequence[str], runs: Path) -> list[Path]:
    """Find several runs, each as `find_run` does; a folder stands for the finished runs in it.

    Raises:
        InputError: one is not found, or nothing is.
    """
    found: list[Path] = []
    for item in wanted:
        folder = Path(item)
        if folder.is_dir() and not is_run(folder) and run_folders(folder):
            done = [run for run in run_folders(folder) if finished(run)]
            if not done:
                raise InputError(f"{item}: no finished runs.")
            found.extend(done)
        else:
            found.append(find_run(item, runs))
    unique = list({folder.resolve(): folder for folder in found}.values())
    if not unique:
        raise InputError(f"{runs}: no runs.")
    return unique


def first(names: Sequence[str], most: int = 4) -> str:
    """Return a few names for an error line."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def read_record(folder: Path) -> dict[str, Any]:
    """Read a run's record after checking it against its own digests.

    Raises:
        InputError: not a run, not finished, of another format, or altered; the file is named.
    """
    path = folder / RECORD
    if not is_run(folder):
        raise InputError(f"{folder}: not a run folder; it has neither {CONFIG} nor {RECORD}.")
    if not finished(folder):
        raise InputError(f"{folder}: not finished; the command that started it resumes it.")
    record = files.read_sealed(path)
    if record.get("format") != FORMAT:
        raise InputError(f"{path}: not a record of format {FORMAT}.")
    if missing := [key for key in NEEDED if key not in record]:
        raise InputError(f"{path}: altered or damaged; it lacks {missing[0]!r}.")
    checked = as_record(path, record)
    if files.digest(record["settings"]) != record["settings_digest"]:
        raise InputError(f"{path}: altered; its settings do not have the digest that it states.")
    check_files(folder, checked, all_there=True)
    return record


def read_measured(folder: Path) -> Mapping[str, Any]:
    """Read a run's times, memory, versions and device; empty when the file is not there."""
    path = folder / MEASURED
    if not files.exists(path):
        return {}
    records.read_measured(path)
    return files.read_json(path)
