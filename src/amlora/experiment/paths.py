"""Paths in a settings file start from that file's folder, wherever a command is given.

Absolute paths, "~" and "$NAME" stay as they are, and so do paths that `--set` gives: those start
from the working directory. Where there is a `data_root`, tasks' sources start from it. The name of
a model, and of a data set on the hub, may be a path or an id: it is a path where the file's folder
has it. Settings that amlora itself writes are marked: their paths start from the working directory,
as they were used.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amlora.engine.builtin import BUILT_IN
from amlora.experiment.general import BUILTIN

MARK = "# Written by amlora; paths start from the folder in which it ran.\n"
Place = tuple[tuple[str, ...], dict[str, Any], str]
"""The steps to a setting, the table that it stands in, and its name there."""


def anchor(
    raw: Mapping[str, Any], folder: Path, *, given: Sequence[str] = (), rooted: bool = False
) -> None:
    """Make the paths of a settings file's tables start from its folder, in place.

    Args:
        raw: the tables; what is wrong with them is found later.
        folder: of the file.
        given: dotted paths of the settings that `--set` gave.
        rooted: a `data_root` is given elsewhere.
    """
    if folder == Path():
        return
    kept = [tuple(re.findall(r"[\w-]+", each)) for each in given]
    for steps, table, name in places(raw, folder, rooted):
        if not any(steps[: len(each)] == each for each in kept):
            table[name] = joined(folder, table[name])


def joined(folder: Path, path: str) -> str:
    """Return a path from a folder, but for one that says itself where it starts."""
    return path if path.startswith(("~", "$")) else str(folder / path)


def places(raw: Mapping[str, Any], folder: Path, rooted: bool) -> Iterator[Place]:
    """Give the settings that hold a path."""
    model, stream, evaluate = (table_of(raw, name) for name in ("model", "stream", "evaluate"))
    name = text_of(model, "name")
    if name and name not in BUILT_IN and (folder / name).exists():
        yield ("model", "name"), model, "name"
    if text_of(evaluate, "general") not in ("", BUILTIN):
        yield ("evaluate", "general"), evaluate, "general"
    if text_of(stream, "data_root"):
        yield ("stream", "data_root"), stream, "data_root"
        rooted = True
    tasks = stream.get("tasks")
    for index, task in enumerate(tasks if isinstance(tasks, list) else []):
        if isinstance(task, dict):
            for key in task_paths(task, folder, rooted):
                yield ("stream", "tasks", str(index), key), task, key


def task_paths(task: dict[str, Any], folder: Path, rooted: bool) -> list[str]:
    """Return which of a task's settings hold a path that starts from the file."""
    if hub := text_of(task, "hub"):
        return ["hub"] if (folder / hub).is_dir() else []
    if rooted:
        return []
    if text_of(task, "source"):
        return ["source"]  # other files are relative to it
    return [name for name in ("train", "dev", "test") if text_of(task, name)]


def table_of(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a table, {} where there is none."""
    table = raw.get(name)
    return table if isinstance(table, dict) else {}


def text_of(table: Mapping[str, Any], name: str) -> str:
    """Return a setting's text, "" where it is none."""
    value = table.get(name)
    return value if isinstance(value, str) else ""


def is_rooted(raw: Mapping[str, Any]) -> bool:
    """Tell whether a file gives a `data_root`."""
    return bool(text_of(table_of(raw, "stream"), "data_root"))
