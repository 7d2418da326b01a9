"""Settings as TOML text: read, write, and override single values from a command line.

TOML has no null, so None is written as "none"; `fields.clean` reads it back.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import inspect

from amlora.errors import InputError
from amlora.experiment.fields import NONE, is_text
from amlora.files import read_bytes
from amlora.formats import DEEPEST, NotTOML, parse_toml

KindOf = Callable[[Mapping[str, Any], Sequence[str]], inspect.Type | None]
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
        data = read_bytes(path, most=MOST, follow=follow)
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}.") from None
    return parse_toml(path, data)


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


def lists(value: Any) -> Any:
    """Turn tuples into lists, all the way down, as JSON would."""
    if isinstance(value, Mapping):
        return {key: lists(item) for key, item in value.items()}
    return [lists(item) for item in value] if isinstance(value, list | tuple) else value


def override(raw: dict[str, Any], text: str, kind_of: KindOf) -> None:
    """Apply one "dotted.path=value" to a raw table, making the tables on the way.

    Args:
        raw: changed in place.
        text: the value is TOML, else plain text; "tasks[0].name" reaches into a list.
        kind_of: tells what kind of value a setting takes; where only text fits, 1 means "1".

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
            place[key] = override_value(path, value.strip(), kind_of(raw, steps))
        elif isinstance(place, dict):
            place = place.setdefault(key, {})
        else:
            place = place[key]


def override_value(path: str, text: str, kind: inspect.Type | None) -> Any:
    """Read the value of the override of a dotted path."""
    try:
        table = parse_toml(f"--set {path}", f"value = {text}")
    except NotTOML:
        return text
    if set(table) != {"value"}:
        return text
    value = table["value"]
    return text if is_text(kind) and not isinstance(value, str) else value
