"""Damage as others cause it: hostile values in JSON and TOML, broken bytes, special files.

Every change is a function of a seeded generator, so a failing one is found again by its number.
"""

import copy
import json
import os
import random
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amlora import files
from amlora.errors import InputError
from command import amlora

SECONDS = 60
"""After which a command is thought to hang; they take one or less."""
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 99, 2**31, 2**63, -(2**63), 10**40, 0.5, -0.5, 1e-320, 1e308),
    *("", " ", "x", "none", "auto", "\0", "\n", "\x1b[2J", "../../etc/passwd", "/dev/zero", "a/b"),
    *("é\u202e😀", "x" * 10_000, "NaN", "1e999"),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": []}}),
)
TOML = (
    *("-1", "0", "1e400", "nan", "inf", '""', '"\\u0000"', "[]", "{}", "true", "2020-01-01"),
    *('"none"', '"auto"', "9223372036854775808", "9" * 5000, "0x" + "f" * 5000, "[" * 2000),
    *('"../../.."', '"/dev/zero"', '"\x1b[2J"', '"é\\u202e"', "99999999999", "'''", "a.b"),
    *("1e-400", "{a={}}", "[[[]]]"),
)


class Hang(BaseException):
    """A command did not end in time."""


@contextmanager
def in_time() -> Iterator[None]:
    """End what takes too long."""

    def late(number: int, frame: object) -> None:
        raise Hang

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


FINE, REFUSED = "fine", "refused"


def ending(read: Callable[[], object]) -> str:
    """Tell whether something works or is refused in one line, else what it did."""
    try:
        with in_time():
            read()
    except InputError as error:
        return f"told badly: {error!r}" if "\n" in str(error) else REFUSED
    except (Exception, Hang) as error:
        return "".join(traceback.format_exception(error))
    return FINE


def check(ends: Mapping[str, str]) -> None:
    """Print how often each end came, and fail for those that are neither fine nor refused."""
    print(Counter(how if how in (FINE, REFUSED) else "fault" for how in ends.values()))
    wrong = {name: how for name, how in ends.items() if how not in (FINE, REFUSED)}
    assert not wrong, "\n\n".join(f"{name}: {how}" for name, how in wrong.items())


def outcome(*words: object) -> str:
    """Run a command; return whether it ends well or in one clear line, else what it did."""
    ended: list[tuple[int, str, str]] = []
    if (how := ending(lambda: ended.append(amlora(*words)))) != FINE:
        return how
    status, _, said = ended[0]
    lines = [line for line in said.splitlines() if not line.startswith("left out: ")]
    if status not in (0, 2) or "Traceback" in said or (status == 2 and len(lines) != 1):
        return f"status {status}: {said[:2000]}"
    return REFUSED if status else FINE


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the way to every value within a value."""
    entries: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in entries:
        yield (*at, key)
        yield from places(item, (*at, key))


def changed(value: Any, chance: random.Random) -> Any:
    """Return a plain value with one value within it replaced, removed, doubled or moved."""
    value = copy.deepcopy(value)
    ways = list(places(value))
    *way, key = chance.choice(ways)
    place = value
    for step in way:
        place = place[step]
    kind = chance.choice(("replace", "replace", "replace", "remove", "double", "swap"))
    if kind == "remove":
        del place[key]
    elif kind == "double" and isinstance(place, list):
        place.insert(key, copy.deepcopy(place[key]))
    elif kind == "swap":
        *other, name = chance.choice(ways)
        source = value
        for step in other:
            source = source[step]
        place[key] = copy.deepcopy(source[name])
    else:
        place[key] = copy.deepcopy(chance.choice(VALUES))
    return value


def broken(data: bytes, chance: random.Random) -> bytes:
    """Return bytes cut off, flipped, filled, doubled, or that are something else altogether."""
    at = chance.randrange(len(data) + 1)
    return chance.choice(
        (
            lambda: data[:at],
            lambda: data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :],
            lambda: data[:at] + chance.randbytes(20) + data[at:],
            lambda: data + data,
            lambda: b"",
            lambda: b"[" * 50_000,
            lambda: b'{"a":' * 20_000,
            lambda: b"9" * 6000,
            lambda: b"\xef\xbb\xbf" + data,
            lambda: data.replace(b"1", b"1e999", 1),
            lambda: data.replace(b"0", b"NaN", 1),
            lambda: data.replace(b'"', b'"\\ud800', 1),
        )
    )()


def replaced(path: Path, chance: random.Random) -> str:
    """Put a link or a special file in a file's place; return which."""
    kinds = ("pipe", "folder", "huge", "gone", "link", "/etc/passwd", "/dev/zero", "nowhere")
    kind, data = chance.choice(kinds), path.read_bytes()
    files.remove(path)
    if kind == "link":
        outside = path.parent.parent / "outside"
        outside.write_bytes(data)
        path.symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "huge":
        path.touch()
        os.truncate(path, 20 << 30)
    elif kind != "gone":
        path.symlink_to(kind)
    return kind


def with_values(text: str, chance: random.Random) -> str:
    """Return a TOML text with a line's value replaced, or a line removed, doubled or broken."""
    lines = text.splitlines()
    at = chance.randrange(len(lines))
    name = lines[at].partition("=")[0]
    value = chance.choice(TOML)
    change: Callable[[], list[str]] = chance.choice(
        (
            lambda: [f"{name}= {value}"],
            lambda: [f"{name}= {value}"],
            lambda: [f"{name}= {json.dumps(str(chance.choice(VALUES)))}"],
            lambda: [],
            lambda: [lines[at], lines[at]],
            lambda: [f"{name}.{name}x = 1"],
            lambda: [".".join(["a"] * 5000) + " = 1"],
            lambda: [f"[{name}]"],
            lambda: [lines[at][: chance.randrange(len(lines[at]) + 1)]],
        )
    )
    return "\n".join([*lines[:at], *change(), *lines[at + 1 :]]) + "\n"
