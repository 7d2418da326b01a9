"""Processes that change one folder of skills at once, and others that read it all the while.

Kept apart from the tests because the processes import it by name.
"""

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch

from amlora import files
from amlora.errors import InputError
from amlora.mixture.version import numbers, read_version, steadily
from amlora.skills.skills import Skills
from deeds import TEXTS, Place
from killed import IMPORTED
from tables import QUICK, learned

TASKS = ("film", "topic", "truth")
DEEDS = ("learn", "publish", "rollback", "rename", "prune")
PATIENCE = 300.0
"""Seconds until a folder must have been free once."""
Said = tuple[tuple[str, str], ...]
"""Who answered each text, and what."""


@dataclass(frozen=True)
class Event:
    """A version was brought into use, or read, at some moment between two."""

    begun: float
    ended: float
    version: str
    said: Said = ()


@dataclass
class Writer:
    """What one process did."""

    events: list[Event] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    locked: list[str] = field(default_factory=list)
    """What it was told when another process held the folder."""
    refused: list[str] = field(default_factory=list)


@dataclass
class Reader:
    """What one process read."""

    events: list[Event] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def crowd(
    place: Place, folder: Path, *, writers: int, readers: int, rounds: int
) -> tuple[list[Writer], list[Reader]]:
    """Let processes write and read; the readers go on until the last writer has ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED, "crowd"])
    end = folder.parent / "end"
    with ProcessPoolExecutor(writers + readers, mp_context=context) as pool:
        reading = [pool.submit(read, folder, end) for _ in range(readers)]
        writing = [pool.submit(write, place, folder, number, rounds) for number in range(writers)]
        try:
            wrote = [each.result() for each in writing]
        finally:
            end.touch()
        return wrote, [each.result() for each in reading]


def write(place: Place, folder: Path, number: int, rounds: int) -> Writer:
    """Do some commands, each as soon as the folder is free."""
    torch.set_num_threads(1)
    found, chance = Writer(), Random(number)
    for index in range(rounds):
        deed = DEEDS[(number + index) % len(DEEDS)]
        late = time.monotonic() + PATIENCE
        while True:
            begun = time.monotonic()
            try:
                version = act(place, folder, deed, f"{number}-{index}", chance)
            except files.Locked as error:
                assert begun < late, f"{folder} is never free"
                found.locked.append(str(error))
                time.sleep(chance.uniform(0.0, 0.1))
                continue
            except InputError as error:  # there is nothing before the first version
                found.refused.append(f"{deed}: {error}")
            else:
                found.done.append(deed)
                if version:
                    found.events.append(Event(begun, time.monotonic(), version))
            break
    return found


def act(place: Place, folder: Path, deed: str, name: str, chance: Random) -> str | None:
    """Do a command; return the version that it brought into use."""
    skills = Skills(folder, device="cpu", precision="float32")
    if deed == "learn":
        task = chance.choice(TASKS)
        data, settings = place.data / f"{task}.csv", QUICK.replace(steps=2)
        outcome = learned(folder, place.model, task, data, settings=settings, task=f"{task}-{name}")
        return outcome.version if outcome.published else None
    if deed == "publish":
        return skills.publish(chance.choice(numbers(folder)), force=True)
    if deed == "rename":
        old = chance.choice(steadily(folder, lambda: read_version(folder)).skills).name
        return skills.rename(old, f"{old.partition('-')[0]}-{name}").version
    if deed == "prune":
        skills.prune()
        return None
    return skills.rollback()


def read(folder: Path, end: Path) -> Reader:
    """Load what is in use and ask it, again and again; look at the versions too."""
    torch.set_num_threads(1)
    found, skills = Reader(), Skills(folder, device="cpu", precision="float32")
    while not found.events or not end.exists():
        begun = time.monotonic()
        try:
            said = asked(skills)
            assert skills.loaded is not None
            found.events.append(Event(begun, time.monotonic(), skills.loaded[0].version, said))
            skills.versions()
            skills.show()
            skills.history()
        except Exception as error:
            found.failed.append(repr(error))
    return found


def asked(skills: Skills) -> Said:
    """Return what the version in use says."""
    answers = skills.predict(TEXTS, raw=True, max_new_tokens=3)
    return tuple((next(iter(each["stages"]), ""), each["answer"]) for each in answers)


def was_in_use(read: Event, writes: Sequence[Event]) -> bool:
    """Tell whether a version may have been in use at a moment of a read.

    It was not if another one was brought into use wholly after it and wholly before the read.
    """
    return any(
        write.version == read.version
        and write.begun <= read.ended
        and not any(
            write.ended < other.begun and other.ended < read.begun
            for other in writes
            if other.version != read.version
        )
        for write in writes
    )
