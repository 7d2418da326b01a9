"""Find and read stored runs: one by its folder or name, all of a folder of runs, or both mixed.

Nothing altered is read, and no torch is needed.
"""

import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from amlora import files
from amlora.errors import InputError, nearest
from amlora.formats import parse_toml, typed
from amlora.records.beside import Choice
from amlora.records.pack import Pack, is_pack
from amlora.records.run import CONFIG, RECORD, StoredRun, finished, is_run, read_folder

LONGEST = 4 << 20  # bytes of a settings file


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


def run_folders(runs: Path) -> list[Path]:
    """Return the run folders directly inside a folder, by name.

    Raises:
        InputError: no such folder.
    """
    if not runs.is_dir():
        raise InputError(f"{runs}: no such folder of runs.")
    if is_pack(runs):
        return [runs / name for name in Pack(runs).lines]
    return sorted(folder for folder in runs.iterdir() if is_run(folder))


def read_run(path: Path, packs: dict[Path, Pack] | None = None) -> StoredRun:
    """Read one finished run, from its folder or from the pack that it stands in.

    Args:
        path: its folder, or a pack's with the run's name behind it.
        packs: those that are open already; one that is opened is put to them.

    Raises:
        InputError: not a run, not finished, of another format, altered, or not whole.
    """
    if not is_packed(path):
        return read_folder(path)
    packs = {} if packs is None else packs
    return packs.setdefault(path.parent, Pack(path.parent)).run(path.name)


def read_runs(
    wanted: Sequence[str],
    runs: Path | None = None,
    left_out: Callable[[str], None] | None = None,
) -> list[StoredRun]:
    """Read several runs, each once; a folder of runs stands for the finished runs in it.

    Args:
        wanted: runs, names of runs, or folders of runs.
        runs: where runs are looked up by name; None: they are not.
        left_out: told of each damaged run of a folder of runs, which is then left out; None: such a
            run is an error, as is always one that is asked for by itself.

    Raises:
        InputError: no such run, a damaged one, or none is left.
    """
    found: dict[Path, StoredRun] = {}
    packs: dict[Path, Pack] = {}
    for item in wanted:
        tell = left_out if is_store(Path(item)) else None
        for path in find_runs([item], runs):
            if path.resolve() in found:
                continue
            try:
                found[path.resolve()] = read_run(path, packs)
            except (InputError, OSError) as error:
                if tell is None:
                    raise
                tell(said(error))
    if not found:
        raise InputError(f"{', '.join(wanted)}: no run that can be read.")
    return list(found.values())


def said(error: InputError | OSError) -> str:
    """Return what is wrong with a run in one line."""
    return f"{error.filename}: {error.strerror}." if isinstance(error, OSError) else str(error)


def is_packed(path: Path) -> bool:
    """Return whether a path is that of a run in a pack."""
    return not path.exists() and is_pack(path.parent)


def is_finished(path: Path) -> bool:
    """Return whether there is a finished run at a path: a folder's, or one in a pack."""
    if is_packed(path):
        return path.name in Pack(path.parent).lines
    return finished(path)


def is_store(path: Path) -> bool:
    """Return whether a path is that of several runs."""
    return path.is_dir() and not is_run(path)


def find_run(wanted: str, runs: Path | None) -> Path:
    """Find one run by its folder's path, its name inside `runs`, or the start of that name.

    Raises:
        InputError: none or several fit.
    """
    if is_run(path := Path(wanted)):
        return path
    if is_packed(path):
        wanted, runs = path.name, path.parent
    if path.is_dir():
        raise no_single_run(path)
    if runs is None:
        raise InputError(f"{wanted}: no such folder.")
    if not runs.is_dir():
        raise InputError(f"{wanted}: no such run, and no folder {runs} to look its name up in.")
    folders = {folder.name: folder for folder in run_folders(runs)}
    wanted = wanted.rstrip("/")
    if wanted in folders:
        return folders[wanted]
    fitting = [name for name in folders if name.startswith(wanted)]
    fitting = fitting or fnmatch.filter(folders, wanted)
    if len(fitting) == 1:
        return folders[fitting[0]]
    if fitting:
        raise InputError(f"{wanted}: {len(fitting)} runs in {runs} begin so: {first(fitting)}.")
    close = nearest(wanted, folders) or f"; there are: {first(list(folders)) or 'none'}."
    raise InputError(f"{wanted}: no such run in {runs}{close}")


def packs_in(folder: Path) -> list[str]:
    """Return the names of the packs directly inside a folder."""
    return sorted(each.name for each in folder.iterdir() if is_pack(each))


def no_single_run(folder: Path) -> InputError:
    """Say what a folder holds that is not the folder of a run."""
    if runs := [run.name for run in run_folders(folder)]:
        return InputError(f"{folder}: {len(runs)} runs; name one: {first(runs)}.")
    if packs := packs_in(folder):
        return InputError(f"{folder}: no runs, but packs of runs; name one: {first(packs)}.")
    return InputError(
        f"{folder}: not a run folder; it has neither {CONFIG} nor {RECORD}, and holds no runs."
    )


def find_runs(wanted: Sequence[str], runs: Path | None) -> list[Path]:
    """Find several runs, each as `find_run` does; a folder stands for the finished runs in it.

    In a pack, whose runs no shell sees, `*` and `?` stand for any letters of their names.

    Raises:
        InputError: one is not found, or nothing is.
    """
    found: list[Path] = []
    for item in wanted:
        folder = Path(item)
        if is_store(folder) and (inside := run_folders(folder)):
            if not (done := [run for run in inside if is_packed(run) or finished(run)]):
                raise InputError(f"{item}: no finished runs.")
            found.extend(done)
        elif is_packed(folder) and (named := matching(folder)):
            found.extend(named)
        else:
            found.append(find_run(item, runs))
    unique = list({folder.resolve(): folder for folder in found}.values())
    if not unique:
        raise InputError(f"{runs}: no runs.")
    return unique


def matching(path: Path) -> list[Path]:
    """Return the runs of a pack that a pattern such as PACK/am_lora-* means."""
    return [path.parent / name for name in fnmatch.filter(Pack(path.parent).lines, path.name)]


def first(names: Sequence[str], most: int = 4) -> str:
    """Return a few names for an error line."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def list_runs(runs: Path) -> list[Summary]:
    """Return a line for every run in a folder, or for the run or the packed runs that a path means.

    A damaged one says so and does not stop the list.
    """
    packs: dict[Path, Pack] = {}
    named = [runs] if is_run(runs) else matching(runs) if is_packed(runs) else []
    return [summary(folder, packs) for folder in named or run_folders(runs)]


def summary(folder: Path, packs: dict[Path, Pack] | None = None) -> Summary:
    """Return one run's line."""
    try:
        if not is_packed(folder) and not finished(folder):
            settings = parse_toml(
                folder / CONFIG, files.read_present(folder / CONFIG, most=LONGEST)
            )
            method = settings.get("method")
            return Summary(
                folder=folder,
                name=str(settings.get("name", "")),
                method=str(method.get("name", "")) if isinstance(method, dict) else "",
                seed=seed if isinstance(seed := settings.get("seed"), int) else None,
            )
        run = read_run(folder, packs)
    except (InputError, OSError) as error:
        return Summary(folder=folder, problem=said(error))
    return Summary(
        folder=folder,
        name=run.record.name,
        method=run.record.method,
        seed=run.record.seed,
        finished=True,
        average=run.record.metrics.average,
        forgetting=run.record.metrics.forgetting,
        when=run.measured.finished or None,
    )


def read_choices(store: Path) -> list[Choice]:
    """Read the learning rates that the grids of a store chose, by name.

    Raises:
        InputError: one is altered, or is no choice.
    """
    if is_pack(store):
        return Pack(store).choices()
    return [
        typed(path, files.read_sealed(path), Choice)
        for path in sorted(store.glob("grids/*/choices/*.json"))
    ]
