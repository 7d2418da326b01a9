"""Find and read the splits of one task: a hub data set, the reference layout, or own files."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from amlora import files, formats
from amlora.errors import InputError, nearest
from amlora.streams.hub import SPLIT_NAMES, read_hub
from amlora.streams.read import PACKED, SUFFIXES, read_rows
from amlora.streams.rows import RawRow
from amlora.streams.settings import TaskSettings


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
    """Read a task's rows; an InputError if there is no such file, folder or data set.

    Args:
        task: says where they are.
        data_root: folder that relative paths start from, see `root_folder`; empty for this one.
        where: dotted path of the task's settings, for errors.
        seed: decides which rows of the hub are read where the task limits them.
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
            why = "is the train file already; give one of them."
            raise InputError(f"{where}.train: {source} {why}")
        paths["train"] = source
    elif task.source:
        for split in SPLIT_NAMES:
            if split not in paths and (found := find_file(source, split, where)):
                paths[split] = found
    if "train" not in paths:
        expected = ", ".join(f"train{suffix}" for suffix in SUFFIXES)
        raise InputError(f"{where}.source: {source} has no train file; expected one of {expected}.")
    read = RawTask(
        title=str(source) if task.source else str(paths["train"]),
        splits={split: read_rows(paths[split]) for split in SPLIT_NAMES if split in paths},
        origins={split: str(path) for split, path in paths.items()},
        columns=columns,
    )
    labels = source.absolute() / "labels.json"
    if not labels.is_file():
        return read
    # The reference layout tells by its names (Category/Name), too.
    return replace(
        read,
        columns=("sentence" if task.text == "text" else task.text, task.label),
        options=formats.typed(labels, files.read_json(labels, follow=True), tuple[str, ...]),
        category=labels.parent.parent.name,
        dataset=labels.parent.name,
    )


def root_folder(data_root: str) -> Path:
    """Return the folder that a `data_root` names: a path, in which "$NAME" may stand first."""
    if not data_root.startswith("$"):
        return Path(data_root).expanduser()
    name, _, rest = data_root[1:].partition("/")
    if not (folder := os.environ.get(name)):
        raise InputError(
            f"stream.data_root: the environment variable {name} is not set; set it to the folder"
            " that holds the data."
        )
    return Path(folder).expanduser() / rest


def find_file(folder: Path, split: str, where: str) -> Path | None:
    """Return the one file of a split in a folder, or None; letter case and .gz aside."""
    wanted = {f"{name}{suffix}" for name in SPLIT_NAMES[split] for suffix in SUFFIXES}
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name.lower().removesuffix(PACKED) in wanted
    ]
    if len(found) > 1:
        listed = " and ".join(path.name for path in found)
        raise InputError(f"{where}.source: {folder} has {listed}; name one by {where}.{split}.")
    return found[0] if found else None


def similar(path: Path) -> str:
    """Return "; did you mean ...?" for a like name beside a missing path, or a full stop."""
    if not path.parent.is_dir():
        return "."
    return nearest(path.name, [entry.name for entry in path.parent.iterdir()]) or "."
