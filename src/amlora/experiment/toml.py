"""Settings as TOML text: read, write, and override single values from a command line.

TOML has no null, so None is written as "none". Paths in a settings file start from that file's
folder, wherever a command is given. Absolute paths, "~" and "$NAME" stay as they are. Where there
is a `data_root`, tasks' sources start from it. The name of a model, and of a data set on the hub,
may be a path or an id: it is a path where the file's folder has it. Settings that amlora itself
writes are marked: their paths start from the working directory, as they were used.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from amlora.engine.builtin import BUILT_IN
from amlora.engine.settings import BUILTIN
from amlora.errors import InputError
from amlora.files import read_bytes
from amlora.formats import DEEPEST, NotTOML, parse_toml
from amlora.settings import NONE

MARK = "# Written by amlora; paths start from the folder in which it ran.\n"
INDEX = re.compile(r"[0-9]{1,6}")
MOST = 4 << 20  # bytes of a settings file
PATH = re.compile(r"[\w-]+(\[\d+\])*(\.[\w-]+(\[\d+\])*)*")


def read_toml(path: Path, *, follow: bool = False) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: the file.
        follow: through a link as well, for what the user himself names.

    Raises:
        InputError: no such file, not a regular one, or not TOML (with the line).
    """
    try:
        return parse_toml(path, read_bytes(path, most=MOST, follow=follow))
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}.") from None


def read_anchored(path: Path, *, rooted: bool = False) -> dict[str, Any]:
    """Read a settings file whose paths then start from the working directory.

    Args:
        path: the file.
        rooted: a `data_root` is given elsewhere.
    """
    raw = read_toml(path, follow=True)
    if not read_bytes(path, most=MOST, follow=True).startswith(MARK.encode()):
        anchor(raw, path.parent, rooted=rooted)
    return raw


def anchor(raw: Mapping[str, Any], folder: Path, *, rooted: bool = False) -> None:
    """Make the paths of tables start from a folder, in place; what is wrong is found later."""
    if folder == Path():
        return
    for table, name in paths(raw, rooted):
        value = table[name]
        # A model or a data set on the hub: an id, unless it is there.
        if name in ("name", "hub") and not (value not in BUILT_IN and (folder / value).exists()):
            continue
        if not value.startswith(("~", "$")):
            table[name] = str(folder / value)


def paths(raw: Mapping[str, Any], rooted: bool = False) -> Iterator[tuple[dict[str, Any], str]]:
    """Give the settings that hold a path, or may: the table and the name in it."""
    model, stream, evaluate = (raw.get(name, {}) for name in ("model", "stream", "evaluate"))
    places = [(model, "name"), (evaluate, "general"), (stream, "data_root")]
    tasks = stream.get("tasks") if isinstance(stream, dict) else ()
    for task in tasks if isinstance(tasks, list) else ():
        if isinstance(task, dict) and task.get("hub"):
            places.append((task, "hub"))
        elif isinstance(task, dict) and not (rooted or stream.get("data_root")):
            # Other files are relative to the source.
            own = ["source"] if task.get("source") else ["train", "dev", "test"]
            places += [(task, name) for name in own]
    for table, name in places:
        value = table.get(name) if isinstance(table, dict) else None
        if isinstance(value, str) and value and (name, value) != ("general", BUILTIN):
            yield table, name


def write_toml(value: Mapping[str, Any]) -> str:
    """Write a plain table as TOML text."""
    import tomli_w

    return tomli_w.dumps(without_none(value))


def without_none(value: Any) -> Any:
    """Replace None, which TOML lacks, by "none"."""
    if isinstance(value, Mapping):
        return {key: without_none(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_none(item) for item in value]
    return NONE if value is None else value


def override(
    raw: dict[str, Any], text: str, only_text: Callable[[Mapping[str, Any], Sequence[str]], bool]
) -> None:
    """Apply one "dotted.path=value" to a raw table, making the tables on the way.

    Args:
        raw: changed in place.
        text: the value is TOML, else plain text; "tasks[0].name" reaches into a list.
        only_text: tells whether a setting takes text alone, so that 1 means "1".

    Raises:
        InputError: not of that form, or a way through something that is no table.
    """
    path, equals, value = text.partition("=")
    path = path.strip()
    steps = re.findall(r"[\w-]+", path)
    if not equals or not PATH.fullmatch(path):
        raise InputError(f"--set {text}: expected dotted.path=value, such as train.lr=1e-4.")
    if len(steps) > DEEPEST:
        raise InputError(f"--set {path[:60]}...: {len(steps)} steps; no setting lies so deep.")
    place: Any = raw
    for at, step in enumerate(steps):
        before = ".".join(steps[:at])
        key: Any = step
        if isinstance(place, list):
            if not INDEX.fullmatch(step) or int(step) >= len(place):
                raise InputError(f"--set {text}: {before} has {len(place)} elements, no [{step}].")
            key = int(step)
        elif not isinstance(place, dict):
            raise InputError(f"--set {text}: {before} is a value, not a table.")
        if at == len(steps) - 1:
            place[key] = override_value(path, value.strip(), only_text(raw, steps))
        elif isinstance(place, dict):
            place = place.setdefault(key, {})
        else:
            place = place[key]


def override_value(path: str, text: str, only_text: bool) -> Any:
    """Read the value of the override of a dotted path."""
    try:
        table = parse_toml(f"--set {path}", f"value = {text}")
    except NotTOML:
        return text
    if set(table) != {"value"} or (only_text and not isinstance(table["value"], str)):
        return text
    return table["value"]
