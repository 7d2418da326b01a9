"""Find and read the splits of one task: a hub data set, the reference layout, or own files."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from amlora import files, formats
from amlora.errors import InputError, nearest
from amlora.streams.hub import read_hub
from amlora.streams.read import PACKED, SUFFIXES, read_rows
from amlora.streams.rows import RawRow
from amlora.streams.settings import TaskSettings

FILE_NAMES = {
    "train": ("train",),
    "dev": ("dev", "validation", "valid", "val"),
    "test": ("test",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTask:
    """What was read of one task."""

    title: str
    """What was read, for a reader."""
    splits: dict[str, list[RawRow]]
    """"train", and "dev" and "test" where there are any."""
    origins: dict[str, str]
    """File of each split, for errors."""
    columns: tuple[str, str]
    """Names of the text and the label column."""
    options: tuple[str, ...] = ()
    """The answers that the source itself lists."""
    category: str = ""
    dataset: str = ""


def read_source(task: TaskSettings, data_root: str, where: str, *, seed: int = 0) -> RawTask:
    """Read a task's rows.

    Args:
        task: says where they are.
        data_root: folder that relative paths start from, see `root_folder`; empty for the current
            one.
        where: dotted path of the task's settings, for errors.
        seed: decides which rows of the hub are read where the task limits them.

    Raises:
        InputError: no such file, folder or data set, or a broken row.
    """
    columns = (task.text, task.label)
    if task.hub:
        splits = read_hub(task, where, seed)
        origins = {split: f"{task.hub} {split}" for split in splits}
        return RawTask(title=task.hub, splits=splits, columns=columns, origins=origins)
    root = root_folder(data_root)
    source = root / Path(task.source).expanduser()
    if task.source and not source.exists():
        raise InputError(f"{where}.source: {source}: no such file or folder{similar(source)}")
    folder = source.parent if source.is_file() else source
    paths = {
        split: folder / Path(name).expanduser()
        for split, name in (("train", task.train), ("dev", task.dev), ("test", task.test))
        if name
    }
    for split, path in paths.items():
        if not path.is_file():
            raise InputError(f"{where}.{split}: {path}: no such file{similar(path)}")
    if source.is_file():
        if task.train:
            raise InputError(
                f"{where}.train: {source} is the train file already; give one of them."
            )
        paths["train"] = source
    elif task.source:
        for split, names in FILE_NAMES.items():
            if split not in paths and (found := find_file(source, names, where)):
                paths[split] = found
    if "train" not in paths:
        expected = ", ".join(f"train{suffix}" for suffix in SUFFIXES)
        raise InputError(f"{where}.source: {source} has no train file; expected one of {expected}.")
    read = RawTask(
        title=str(source) if task.source else str(paths["train"]),
        splits={split: read_rows(paths[split]) for split in FILE_NAMES if split in paths},
        origins={split: str(path) for split, path in paths.items()},
        columns=columns,
    )
    if (source / "labels.json").is_file():
        return as_reference(read, source.absolute())
    return read


def root_folder(data_root: str) -> Path:
    """Return the folder that a `data_root` names: a path, in which "$NAME" may stand first.

    Raises:
        InputError: no such environment variable.
    """
    if not data_root.startswith("$"):
        return Path(data_root).expanduser()
    name, _, rest = data_root[1:].partition("/")
    if not (folder := os.environ.get(name)):
        raise InputError(
            f"stream.data_root: the environment variable {name} is not set; set it to the folder"
            " that holds the data."
        )
    return Path(folder).expanduser() / rest


def as_reference(read: RawTask, folder: Path) -> RawTask:
    """Add what the reference layout tells by its names (Category/Name) and its labels.json."""
    text, label = read.columns
    labels = folder / "labels.json"
    return replace(
        read,
        columns=("sentence" if text == "text" else text, label),
        options=formats.typed(labels, files.read_json(labels, follow=True), tuple[str, ...]),
        category=folder.parent.name,
        dataset=folder.name,
    )


def find_file(folder: Path, names: tuple[str, ...], where: str) -> Path | None:
    """Return the one file of a split in a folder, or None; letter case and .gz aside."""
    there = sorted(path for path in folder.iterdir() if path.is_file())
    found = [
        path
        for name in names
        for suffix in SUFFIXES
        for path in there
        if path.name.lower().removesuffix(PACKED) == f"{name}{suffix}"
    ]
    if len(found) > 1:
        listed = " and ".join(path.name for path in found)
        raise InputError(f"{where}.source: {folder} has {listed}; name one by {where}.{names[0]}.")
    return found[0] if found else None


def similar(path: Path) -> str:
    """Return "; did you mean ...?" for a like name beside a missing path, or a full stop."""
    if not path.parent.is_dir():
        return "."
    return nearest(path.name, [entry.name for entry in path.parent.iterdir()]) or "."
