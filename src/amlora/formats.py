"""The formats of our files, JSON, TOML and safetensors: values as bytes and back.

These are the only parsers of what others may have written.

Whatever is wrong with a text is an InputError of one line that names its place: not UTF-8, not JSON
or TOML, nested too deep, numbers or letters that no file of ours can hold, a name given twice.
"""

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from amlora.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

DEEPEST = 100
"""Tables and lists within each other; deeper ones exhaust the stack of what works on them."""
DIGEST = "digest"
"""The key under which a sealed JSON file holds the sha256 of the rest of it."""
WORD = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')"""
DEEP_KEY = re.compile(rf"(?<![\w-]){WORD}(?:[ \t]*\.[ \t]*{WORD}){{{DEEPEST}}}")
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
Kind = TypeVar("Kind")


class NotTOML(InputError):
    """A text that is not TOML at all."""


def parse_json(place: Path | str, data: bytes | str) -> Any:
    """Return the value of a JSON file, or of one line of a file of lines; `place` begins errors.

    An InputError: not UTF-8, not JSON, or a value that cannot be used.
    """
    text = unicode(place, data)
    try:
        value = json.loads(
            text, parse_constant=not_finite, parse_float=finite, object_pairs_hook=table
        )
        if SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        several = error.lineno > 1 or "\n" in text.strip()
        where = f"line {error.lineno}: " if several else ""
        at = "" if several else f" at column {error.colno}"
        raise InputError(f"{place}: {where}not JSON: {error.msg}{at}.") from None
    except RecursionError:
        raise too_deep(place) from None
    except UnicodeEncodeError as error:
        raise InputError(f"{place}: {error.object[error.start]!r} is half a character.") from None
    except ValueError as error:
        raise InputError(f"{place}: {reason(error)}.") from None
    leaves(place, value)
    return value


def parse_toml(place: Path | str, data: bytes | str) -> dict[str, Any]:
    """Return the table of a TOML text; a byte order mark may stand before it.

    An InputError: not UTF-8, not TOML (with the line), or a value that no setting has.
    """
    text = unicode(place, data).removeprefix("\ufeff")
    if DEEP_KEY.search(text):  # tomllib takes memory by the square of them
        raise too_deep(place)
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        found = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", message, re.DOTALL)
        cause = found.group(1) if found else message.removesuffix(" (at end of document)")
        line = found.group(2) if found else max(1, len(text.splitlines()))
        raise NotTOML(f"{place}: line {line}: not TOML: {cause}.") from None
    except RecursionError:
        raise too_deep(place) from None
    except ValueError as error:
        raise InputError(f"{place}: {reason(error)}.") from None
    for item in leaves(place, value):
        check_size(place, item)
        if isinstance(item, str) and "\0" in item:
            raise InputError(f"{place}: {item[:60]!r} holds a null character.")
    return value


def typed(place: Path | str, value: object, kind: type[Kind]) -> Kind:
    """Make a model, a dataclass, or what else pydantic knows, of a plain value.

    An InputError: a name, a type or a number that does not fit, with its place in the value.
    """
    from pydantic import TypeAdapter, ValidationError

    from amlora.settings import refusal

    for item in leaves(place, value):
        check_size(place, item)
    try:
        # As JSON: a list may become a tuple then, and nothing else is taken for what it is not.
        text = json.dumps(value, allow_nan=False)
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise InputError(f"{place}: {refusal(error, kind)}") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{place}: {reason(error)}.") from None


def plain(value: object) -> Any:
    """Return models, dataclasses and tuples, alone or within others, as plain values of JSON."""
    from pydantic import TypeAdapter

    return TypeAdapter(Any).dump_python(value, mode="json")


def parse_lines(place: Path | str, data: bytes, kind: type[Kind]) -> list[Kind]:
    """Return what the lines of a file of JSON lines hold, each of one kind, or name a wrong one."""
    return [
        typed(where := f"{place}: line {number}", parse_json(where, line), kind)
        for number, line in enumerate(data.split(b"\n"), 1)
        if line.strip()
    ]


def unicode(place: Path | str, data: bytes | str) -> str:
    """Return UTF-8 as text, and text that can be written as UTF-8 as it is."""
    try:
        if isinstance(data, bytes):
            return data.decode()
        data.encode()
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: not UTF-8 at byte {error.start}.") from None
    except UnicodeEncodeError as error:
        raise InputError(f"{place}: {data[error.start]!r} is half a character.") from None
    return data


def leaves(place: Path | str, value: object) -> list[Any]:
    """Return what a value holds besides tables and lists; refuse more than DEEPEST levels."""
    found: list[Any] = []
    level = [value]
    for _ in range(DEEPEST + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
            else:
                found.append(item)
        if not below:
            return found
        level = below
    raise too_deep(place)


def check_size(place: Path | str, value: object) -> None:
    """Refuse an integer that would become infinite as a number with a point."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InputError(f"{place}: an integer of more than 64 bits.")


def too_deep(place: Path | str) -> InputError:
    """Return the error for what is nested without end."""
    return InputError(f"{place}: nested more than {DEEPEST} levels deep.")


def reason(error: Exception) -> str:
    """Return what was wrong with a number; Python's own text speaks of its settings."""
    text = str(error)
    return "a number of thousands of digits" if "digits" in text else text.rstrip(".")


def finite(text: str) -> float:
    """Read a number with a point or an exponent."""
    value = float(text)
    if not math.isfinite(value):
        not_finite(text)
    return value


def not_finite(text: str) -> NoReturn:
    """Refuse what JSON does not know and Python writes."""
    raise ValueError(f"{text[:60]} is not a finite number")


def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's names and values; refuse a name that is there twice."""
    made = dict(pairs)
    if len(made) < len(pairs):
        once: set[str] = set()
        twice = next(name for name, _ in pairs if name in once or once.add(name))
        raise ValueError(f"{twice[:60]!r} is there twice in one object")
    return made


def json_bytes(value: object) -> bytes:
    """Return a JSON file's bytes: keys sorted, so that equal values give equal bytes; no NaN."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def line(value: object) -> str:
    """Return a value as one line of JSON, keys sorted."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)


def sha256_bytes(data: bytes) -> str:
    """Return the sha256 of bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: object) -> str:
    """Return the sha256 of a plain value (dicts, lists, strings, numbers), key order aside."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return sha256_bytes(text.encode())


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plain value with the sha256 of all of it under "digest"."""
    return {**value, DIGEST: digest(dict(value))}


def parse_sealed(place: Path | str, data: bytes) -> dict[str, Any]:
    """Return the value of a sealed JSON file, its digest included; refuse an altered one."""
    value = parse_json(place, data)
    if not isinstance(value, dict) or DIGEST not in value:
        raise InputError(f"{place}: altered or damaged; it lacks {DIGEST!r}.")
    rest = {key: entry for key, entry in value.items() if key != DIGEST}
    try:
        whole = json_bytes(sealed(rest)) == data
    except ValueError:  # numbers or letters that no file of ours holds
        whole = False
    if not whole:
        raise InputError(f"{place}: altered; it does not have the digest that it states.")
    return value


def tensor_bytes(tensors: Mapping[str, "Tensor"], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file's bytes; equal tensors give equal bytes."""
    from safetensors.torch import save

    copies = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    # With {} for metadata and no tensor, safetensors writes a file that it cannot read.
    return save(copies, dict(metadata) or None)


def parse_tensors(place: Path | str, data: bytes) -> dict[str, "Tensor"]:
    """Return the tensors of a safetensors file's bytes, in CPU memory.

    An InputError: not a whole safetensors file, or of a dtype that torch lacks.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except SafetensorError as error:
        raise InputError(f"{place}: not a whole safetensors file: {error}.") from None
    # What the format knows and torch does not: some dtypes, and sizes of 64 bits.
    except (KeyError, TypeError) as error:
        raise InputError(f"{place}: holds a tensor that torch cannot: {error}.") from None
