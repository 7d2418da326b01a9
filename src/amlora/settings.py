"""What all settings have in common: frozen, checked where they are made, refused in one line.

pydantic checks; its messages name neither a dotted path nor the nearest match. `refusal` says them
in our words: where, the value, and what is allowed.
"""

import dataclasses
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Literal,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, Strict, ValidationError, model_validator

from amlora.errors import InputError, nearest

NONE = "none"
"""Stands for None wherever that is admitted: TOML has no null."""
SHOWN = 60  # characters of a value that an error repeats
SCALARS = {str: "a string", bool: "true or false", int: "an integer", float: "a number"}
BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
Item = TypeVar("Item")
Many = Annotated[tuple[Item, ...], Strict(False)]
"""A tuple that a list may be given for."""
Pair = Annotated[tuple[Item, Item], Strict(False)]
"""The same, of two."""
Path = tuple[str | int, ...]
"""Names and indices on the way to a setting."""


class WrongSetting(InputError):
    """A setting that is refused: its path, and what is wrong behind it in the line."""

    def __init__(self, path: Path, text: str, *, unknown: bool = False) -> None:
        self.path, self.text, self.unknown = path, text, unknown
        place = dotted(path)
        line = f"unknown setting {place!r}{text}" if unknown else f"{place}{text}"
        super().__init__(line if path else line.removeprefix(": "))

    def __reduce__(self) -> tuple[type[InputError], tuple[str]]:
        """Cross to another process as the line alone."""
        return InputError, (str(self),)

    def below(self, path: Path) -> "WrongSetting":
        """Return the same of a table that lies at a path."""
        return WrongSetting(path + self.path, self.text, unknown=self.unknown)


class Settings(BaseModel):
    """Frozen, no other names, no "1" for 1; a wrong value is a `WrongSetting`, an InputError."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise refusal(error, type(self)) from None

    @model_validator(mode="before")
    @classmethod
    def read_none(cls, values: Any) -> Any:
        """Read "none" as None where None is admitted."""
        if not isinstance(values, Mapping):
            return values
        free = {n for n, at in cls.model_fields.items() if type(None) in members(at.annotation)}
        return {name: None if v == NONE and name in free else v for name, v in values.items()}

    @model_validator(mode="after")
    def checked(self) -> Self:
        """Call the check of our own."""
        self.check()
        return self

    def check(self) -> None:
        """Refuse values that do not fit together, with a ValueError that begins with one's name."""

    @classmethod
    def of(cls, table: object, *path: str | int) -> Self:
        """Make settings of a plain table that stands at a path.

        Raises:
            WrongSetting: no table, or a wrong setting in it.
        """
        if isinstance(table, cls):
            return table
        if not isinstance(table, Mapping):
            raise WrongSetting(path, f": expected a table, got {shown(table)}.")
        try:
            return cls(**{str(name): value for name, value in table.items()})
        except WrongSetting as error:
            raise error.below(path) from None

    def replace(self, **changes: Any) -> Self:
        """Return settings that differ in some values, checked anew."""
        return type(self)(**{**dict(self), **changes})


def refusal(error: ValidationError, kind: Any) -> WrongSetting:
    """Return the one line for what pydantic found wrong with a value of a kind.

    Unknown names come first, as they explain what is missing; of the members of a union the one
    that went furthest into the value speaks.
    """
    order = ("extra_forbidden", "unexpected_keyword_argument", "missing", "missing_argument")
    found = sorted(
        error.errors(include_url=False),
        key=lambda each: order.index(each["type"]) if each["type"] in order else len(order),
    )
    if found[0]["type"] in order[:2]:
        *above, name = found[0]["loc"]
        path, place, _ = follow(kind, above)
        allowed = fields(place)
        close = nearest(str(name), allowed) or f"; allowed: {', '.join(sorted(allowed))}."
        return WrongSetting((*path, str(name)), close, unknown=True)
    first = follow(kind, found[0]["loc"])[0]
    placed = [(entry, *follow(kind, entry["loc"])) for entry in found]
    entry, path, place, notes = max(
        (each for each in placed if each[1][: len(first)] == first), key=lambda each: len(each[1])
    )
    type_, value, context = entry["type"], entry["input"], entry.get("ctx", {})
    if type_ == "too_long" or (type_ == "missing" and isinstance(entry["loc"][-1], int)):
        path = path if type_ == "too_long" else path[:-1]
        wanted = described(follow(kind, path)[1])
        return WrongSetting(path, f": expected {wanted}, got {len(value)} elements.")
    if type_ in order[2:]:
        return WrongSetting(path, f" is missing; give {described(place)}.")
    if type_ == "value_error":
        return own(context["error"], path, place)
    if type_ == "literal_error":
        choices = [each for member in members(place) for each in get_args(member)]
        close = nearest(str(value), map(str, choices)) or "."
        return WrongSetting(path, f": {shown(value)} is not {described(place)}{close}")
    if BOUNDS.keys() & context.keys():
        return WrongSetting(path, f" must be {bounds(place, notes)}, got {shown(value)}.")
    if type_.endswith("too_short"):
        return WrongSetting(path, " must not be empty.")
    return WrongSetting(path, f": expected {described(place)}, got {shown(value)}.")


def own(error: ValueError, path: Path, kind: Any) -> WrongSetting:
    """Return what a check of our own says, behind the path of the setting that it begins with."""
    if isinstance(error, WrongSetting):
        return error.below(path)
    text = " ".join(str(error).split())
    first = re.match(r"[A-Za-z_]\w*", text)
    if first and first.group() in fields(kind):
        return WrongSetting((*path, first.group()), text[first.end() :])
    return WrongSetting(path, f": {text}")


def follow(kind: Any, steps: Iterable[str | int]) -> tuple[Path, Any, Sequence[Any]]:
    """Follow names and indices into a kind.

    Returns:
        The steps that lead somewhere (pydantic names members of unions in between), the kind
        there, and the notes on it, such as its bounds.
    """
    path: list[str | int] = []
    notes: Sequence[Any] = ()
    for step in steps:
        for member in members(kind):
            origin, inner = get_origin(member), get_args(member)
            if (there := fields(member).get(str(step))) is not None:
                kind, notes = there
            elif origin is dict:
                kind, notes = inner[1], ()
            elif origin in (tuple, list) and str(step).isdecimal():
                fixed = origin is tuple and inner[-1] is not Ellipsis
                kind = inner[min(int(step), len(inner) - 1)] if fixed else inner[0]
                notes = ()
            else:
                continue
            path.append(step)
            break
        if get_origin(kind) is Annotated:
            kind, *rest = get_args(kind)
            notes = [*notes, *rest]
    return tuple(path), kind, notes


def fields(kind: Any) -> dict[str, tuple[Any, Sequence[Any]]]:
    """Return the kind of each field and the notes on it; {} of what has none."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {n: (field.annotation, field.metadata) for n, field in kind.model_fields.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return {name: (each, ()) for name, each in get_type_hints(kind).items()}
    return {}


def members(kind: Any) -> list[Any]:
    """Return the members of a union, else the kind alone; without notes."""
    if get_origin(kind) is Annotated:
        return members(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [each for member in get_args(kind) for each in members(member)]
    return [kind]


def bounds(kind: Any, notes: Sequence[Any]) -> str:
    """Say between which numbers a value must be."""
    for member in get_args(kind):
        notes = [*notes, *(get_args(member)[1:] if get_origin(member) is Annotated else ())]
    single = [each for note in notes for each in getattr(note, "metadata", (note,))]
    said = [
        f"at least {limit + 1}" if name == "gt" and int in members(kind) else f"{words} {limit}"
        for name, words in BOUNDS.items()
        for note in single
        if (limit := getattr(note, name, None)) is not None
    ]
    return " and ".join(said)


def described(kind: Any) -> str:
    """Say in words what a kind admits."""
    of = members(kind)
    if len(of) > 1:
        return " or ".join(map(described, sorted(of, key=lambda member: member is type(None))))
    [kind], origin, inner = of, get_origin(of[0]), get_args(of[0])
    if kind in SCALARS:
        return SCALARS[kind]
    if kind is type(None):
        return f'"{NONE}"'
    if origin is Literal:
        return ("one of " if len(inner) > 1 else "") + ", ".join(sorted(map(repr, inner)))
    if origin is tuple and inner[-1] is not Ellipsis:
        return f"a list of {len(inner)}"
    return f"a list (each {described(inner[0])})" if origin in (tuple, list) else "a table"


def is_text(kind: Any) -> bool:
    """Tell whether only text fits: a string, strings to choose from, or either with none."""
    texts = (str, type(None))
    return all(
        member in texts or all(isinstance(choice, str) for choice in get_args(member) or [None])
        for member in members(kind)
    )


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


def dotted(path: Path) -> str:
    """Return a path as it is written: stream.tasks[0].name."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if re.fullmatch(r"[\w-]+", step) else repr(step)
            text += f".{name}" if text else name
    return text
