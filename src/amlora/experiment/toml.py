"""Settings as TOML text: read, write, and override single values from a command line.

TOML has no null, so None is written as "none"; `fields.clean` reads it back.
"""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import inspect

from amlora.errors import InputError
from amlora.experiment.fields import NONE, is_text
from amlora.files import read_bytes

KindOf = Callable[[Mapping[str, Any], Sequence[str]], inspect.Type | None]
PATH = re.compile(r"[\w-]+(\[\d+\])*(\.[\w-]+(\[\d+\])*)*")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: no such file, not UTF-8, or not TOML (with the line).
    """
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}.") from None
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}.") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", message, re.DOTALL)
        reason = found.group(1) if found else message.removesuffix(" (at end of document)")
        line = found.group(2) if found else max(1, len(text.splitlines()))
        raise InputError(f"{path}: line {line}: not TOML: {reason}.") from None


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
    place: Any = raw
    for at, step in enumerate(steps):
        before = ".".join(steps[:at])
        key: Any = step
        if isinstance(place, list):
            if not step.isdigit() or int(step) >= len(place):
                raise InputError(f"--set {text}: {before} has {len(place)} elements, no [{step}].")
            key = int(step)
        elif not isinstance(place, dict):
            raise InputError(f"--set {text}: {before} is a value, not a table.")
        if at == len(steps) - 1:
            place[key] = override_value(value.strip(), kind_of(raw, steps))
        elif isinstance(place, dict):
            place = place.setdefault(key, {})
        else:
            place = place[key]


def override_value(text: str, kind: inspect.Type | None) -> Any:
    """Read an override's value."""
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    if set(table) != {"value"}:
        return text
    value = table["value"]
    return text if is_text(kind) and not isinstance(value, str) else value
