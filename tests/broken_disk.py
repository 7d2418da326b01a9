"""A disk that breaks: it stands for `os` inside `amlora.files`, and fails or kills when told."""

import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from amlora import files

OPERATIONS = {
    *("open", "read", "write", "fsync", "replace", "unlink", "mkdir", "rmdir"),
    *("listdir", "stat", "lstat"),
}
CODES = (errno.ENOSPC, errno.EIO, errno.EACCES)

Plan = Callable[[int, str, tuple[Any, ...]], None]
"""Called before each operation with its number, 1 for the first, its name and its arguments."""


@dataclass
class Disk:
    """All of `os`, its operations on files counted."""

    plan: Plan
    done: list[str] = field(default_factory=list)
    """The names of the operations so far."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self.counted(name, real) if name in OPERATIONS else real

    def counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any) -> Any:
            self.done.append(name)
            self.plan(len(self.done), name, arguments)
            if name != "fsync":  # slow, and no test pulls the plug
                return real(*arguments)

        return operation


@contextmanager
def disk(plan: Plan) -> Iterator[Disk]:
    """Have files.py, and the lock it takes, work on such a disk."""
    made = Disk(plan)
    real = fcntl.flock
    take = made.counted("flock", real)

    def flock(handle: int, operation: int) -> None:
        """Letting go of a lock asks nothing of the disk."""
        (real if operation == fcntl.LOCK_UN else take)(handle, operation)

    with mock.patch.object(files, "os", made), mock.patch.object(fcntl, "flock", flock):
        yield made


def whole(number: int, name: str, arguments: tuple[Any, ...]) -> None:
    """Let everything be."""


@dataclass(frozen=True)
class Fails:
    """The operation of that number fails, or with `for_ever` that and every later one."""

    at: int
    code: int
    for_ever: bool

    def __call__(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if number == self.at or (self.for_ever and number > self.at):
            half(name, arguments)
            place = [str(arguments[0])] if isinstance(arguments[0], str | Path) else []
            raise OSError(self.code, os.strerror(self.code), *place)


@dataclass(frozen=True)
class Kills:
    """The process is killed at the operation of that number."""

    at: int

    def __call__(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if number == self.at:
            half(name, arguments)
            os.kill(os.getpid(), signal.SIGKILL)


def half(name: str, arguments: tuple[Any, ...]) -> None:
    """Do half of a write: that is how one fails."""
    if name == "write":
        os.write(arguments[0], arguments[1][: len(arguments[1]) // 2])


def spread(count: int, total: int) -> list[int]:
    """Return some of the numbers 1 to total, evenly, the first and the last among them."""
    return [1 + (total - 1) * index // (count - 1) for index in range(count)]


def strays(folder: Path) -> list[Path]:
    """Return the temporary files and folders anywhere in a folder."""
    return sorted(folder.rglob(f"{files.TEMPORARY}*"))


LIVELY = ("measured.json", "log.jsonl", ".lock")


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a run's folder but those that hold times or tell of what was done."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in LIVELY
    }
