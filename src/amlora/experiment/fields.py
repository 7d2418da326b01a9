"""Checks plain values, from TOML or from Python, against the fields of a settings struct.

msgspec converts and refuses, but its messages name neither the value nor what is allowed. So every
value is looked at here first, and a mistake is one line: the dotted path, the value, what is
allowed, the nearest match. TOML has no null: "none" stands for None wherever None is admitted.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from amlora.errors import InputError, nearest

NONE = "none"
SHOWN = 60  # characters of a value that an error repeats
SCALARS: dict[type[inspect.Type], tuple[str, tuple[type, ...]]] = {
    inspect.StrType: ("a string", (str,)),
    inspect.BoolType: ("true or false", (bool,)),
    inspect.IntType: ("an integer", (int,)),
    inspect.FloatType: ("a number", (int, float)),
}
Struct = TypeVar("Struct", bound=msgspec.Struct)


def convert(value: object, struct: type[Struct], path: str) -> Struct:
    """Make a settings struct of a plain table; `path` is where the table stands, such as "train".

    Raises:
        InputError: an unknown setting, a wrong type, or a value that the struct refuses.
    """
    kind = inspect.type_info(struct)
    cleaned = clean(value, kind, path)
    try:
        return msgspec.convert(cleaned, struct)
    except msgspec.ValidationError as error:
        raise InputError(placed(str(error), kind, path)) from None


def clean(value: Any, kind: inspect.Type, path: str) -> Any:
    """Return a value ready for msgspec ("none" turned into None), or raise InputError."""
    if isinstance(kind, inspect.StructType):
        return clean_table(value, kind, path)
    if isinstance(kind, inspect.UnionType):
        return clean_union(value, kind, path)
    if isinstance(kind, inspect.LiteralType):
        if isinstance(value, bool) or value not in kind.values:
            close = nearest(str(value), map(str, kind.values)) or "."
            raise InputError(f"{path}: {shown(value)} is not {described(kind)}{close}")
        return value
    if isinstance(kind, inspect.ListType | inspect.VarTupleType | inspect.TupleType):
        return clean_list(value, kind, path)
    if isinstance(kind, inspect.DictType):
        if not isinstance(value, Mapping):
            raise mismatch(value, kind, path)
        return {str(k): clean(v, kind.value_type, f"{path}.{k}") for k, v in value.items()}
    if type(kind) in SCALARS:
        _, classes = SCALARS[type(kind)]
        if type(value) not in classes or (isinstance(value, float) and not math.isfinite(value)):
            raise mismatch(value, kind, path)
    return value


def clean_table(value: Any, kind: inspect.StructType, path: str) -> dict[str, Any]:
    """Clean each setting of a table, after looking for names that the struct does not have."""
    if isinstance(value, kind.cls):
        value = msgspec.structs.asdict(value)
    if not isinstance(value, Mapping):
        raise mismatch(value, kind, path)
    fields = {field.encode_name: field for field in kind.fields}
    for name in value:
        if name not in fields:
            raise unknown(f"{path}.{name}", str(name), fields)
    for field in fields.values():
        if field.required and field.encode_name not in value:
            raise InputError(
                f"{path}.{field.encode_name} is missing; give {described(field.type)}."
            )
    return {name: clean(item, fields[name].type, f"{path}.{name}") for name, item in value.items()}


def clean_list(value: Any, kind: inspect.Type, path: str) -> list[Any]:
    """Clean each element of a list or tuple; a tuple of fixed length must have that length."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise mismatch(value, kind, path)
    if isinstance(kind, inspect.TupleType):
        if len(value) != len(kind.item_types):
            raise InputError(f"{path}: expected {described(kind)}, got {len(value)} elements.")
        kinds = kind.item_types
    else:
        assert isinstance(kind, inspect.ListType | inspect.VarTupleType)
        kinds = (kind.item_type,) * len(value)
    return [clean(item, kinds[i], f"{path}[{i}]") for i, item in enumerate(value)]


def clean_union(value: Any, kind: inspect.UnionType, path: str) -> Any:
    """Take the first member that accepts the value; a list or table makes its own complaint."""
    members = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
    if len(members) < len(kind.types) and (value is None or value == NONE):
        return None
    for member in members:
        if contains(member, value):
            return clean(value, member, path)
    for member in members:
        try:
            return clean(value, member, path)
        except InputError:
            continue
    raise mismatch(value, kind, path)


def contains(kind: inspect.Type, value: object) -> bool:
    """Return whether both are tables, or both are lists."""
    if isinstance(value, Mapping):
        return isinstance(kind, inspect.StructType | inspect.DictType)
    if isinstance(value, list | tuple):
        return isinstance(kind, inspect.ListType | inspect.VarTupleType | inspect.TupleType)
    return False


def kind_at(kind: inspect.Type, steps: Sequence[str]) -> inspect.Type | None:
    """Follow names and indices ("tasks", "0", "label") into a kind; None where there is no such."""
    for step in steps:
        candidates = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
        found: inspect.Type | None = None
        for candidate in candidates:
            if isinstance(candidate, inspect.StructType):
                fields = {field.encode_name: field.type for field in candidate.fields}
                found = fields.get(step, found)
            elif isinstance(candidate, inspect.ListType | inspect.VarTupleType):
                found = candidate.item_type
            elif isinstance(candidate, inspect.DictType):
                found = candidate.value_type
        if found is None:
            return None
        kind = found
    return kind


def is_text(kind: inspect.Type | None) -> bool:
    """Return whether only text fits: a string, strings to choose from, or either with none."""
    if isinstance(kind, inspect.UnionType):
        others = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
        return all(is_text(member) for member in others)
    if isinstance(kind, inspect.LiteralType):
        return all(isinstance(value, str) for value in kind.values)
    return isinstance(kind, inspect.StrType)


def described(kind: inspect.Type) -> str:
    """Say in words what a kind admits."""
    if type(kind) in SCALARS:
        return SCALARS[type(kind)][0]
    if isinstance(kind, inspect.NoneType):
        return f'"{NONE}"'
    if isinstance(kind, inspect.LiteralType):
        # msgspec gives them in no fixed order.
        names = ", ".join(sorted(repr(value) for value in kind.values))
        return f"one of {names}" if len(kind.values) > 1 else names
    if isinstance(kind, inspect.UnionType):
        last = sorted(kind.types, key=lambda member: isinstance(member, inspect.NoneType))
        return " or ".join(described(member) for member in last)
    if isinstance(kind, inspect.ListType | inspect.VarTupleType):
        return f"a list (each {described(kind.item_type)})"
    if isinstance(kind, inspect.TupleType):
        return f"a list of {len(kind.item_types)}"
    return "a table"


def shown(value: object) -> str:
    """Show a value as an error repeats it: text and numbers as written, the rest by its kind."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        text = repr(value)
        return text if len(text) <= SHOWN else text[:SHOWN] + "..."
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return "none" if value is None else f"a {type(value).__name__}"


def mismatch(value: object, kind: inspect.Type, path: str) -> InputError:
    """Return the error for a value of the wrong kind."""
    members = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    choices = [v for m in members if isinstance(m, inspect.LiteralType) for v in m.values]
    close = nearest(str(value), map(str, choices)) or "."
    return InputError(f"{path}: expected {described(kind)}, got {shown(value)}{close}")


def unknown(path: str, name: str, allowed: Sequence[str] | Mapping[str, Any]) -> InputError:
    """Return the error for a setting that does not exist."""
    close = nearest(name, allowed)
    if close:
        return InputError(f"unknown setting {path!r}{close}")
    return InputError(f"unknown setting {path!r}; allowed: {', '.join(sorted(allowed))}.")


def placed(message: str, kind: inspect.Type, path: str) -> str:
    """Put the dotted path in front of what a struct's own check (or msgspec) says.

    "rank must be at least 1 - at `$.lora`" under "method" becomes "method.lora.rank must be ...".
    """
    found = re.fullmatch(r"(.*) - at `\$(.*)`", message, re.DOTALL)
    text, below = found.groups() if found else (message, "")
    text = " ".join(text.split())
    where = path + below
    inner = kind_at(kind, re.findall(r"[\w-]+", below))
    first = re.match(r"[A-Za-z_]\w*", text)
    name = first.group() if first else ""
    if isinstance(inner, inspect.StructType) and name in {f.encode_name for f in inner.fields}:
        return f"{where}.{text}"
    if re.match(rf"{re.escape(where)}[.:\[]", text):
        return text
    parent, _, last = where.rpartition(".")
    if name and name == last and text.startswith(f"{name}."):
        return f"{parent}.{text}" if parent else text
    return f"{where}: {text}"
