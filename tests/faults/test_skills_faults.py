"""Skills on a disk that breaks at any operation: answers are as before or as after, never else."""

import itertools
import shutil
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import NamedTuple

import pytest

from amlora import files
from amlora.engine.backbone import base_of
from amlora.errors import InputError
from amlora.mixture.publish import prune, publish, rollback
from amlora.mixture.save import save_skills
from amlora.mixture.version import list_versions, verify
from amlora.mixture.write import tidy, unknown_tasks, unwritten
from broken_disk import CODES, Fails, disk, spread, strays, whole
from learned import Folder, card, extra
from trained import cards, trained

SAMPLE = {"save": 24}
FEW = 8


class Case(NamedTuple):
    """A folder, and something that is done to a copy of it."""

    pristine: Path
    do: Callable[[Path], object]


def saving(place: Path, base: Path) -> Case:
    """One version, and a second one of other weights."""
    backbone, mixture = trained(base, loras=2)
    known = base_of(backbone)
    save_skills(place, mixture, base=known, tasks=cards(2), scores={})
    for layer in mixture.layers.values():
        layer.bank.w += 1
        layer.bank.a += 1
    return Case(place, lambda f: save_skills(f, mixture, base=known, tasks=cards(2), scores={}))


def changing(place: Path, base: Path, deed: str) -> Case:
    """Three versions of learned skills, the last in use, a candidate, and a change of these."""
    skills = Folder(place, base)
    for name, uses in (("a", ()), ("b", ["a"]), ("c", ())):
        skills.learn(name, uses, extra=extra(name))
    skills.learn("d", publish=False)

    def do(folder: Path) -> object:
        there = copy(skills)
        there.place = folder
        if deed in ("publish", "rollback", "prune"):
            with files.lock(folder):
                return {
                    "publish": lambda: publish(folder, "0004"),
                    "rollback": lambda: rollback(folder),
                    "prune": lambda: prune(folder),
                }[deed]()
        draft = there.draft()
        if deed == "replace":
            draft.replace(card("a"), **there.lora("anew", extra=extra("anew")))
        elif deed == "remove":
            draft.remove("b")
        elif deed == "rename":
            draft.rename("c", "cc")
        else:
            draft.add(card("e"), **there.lora("e", ["c", "a"], extra=extra("e")))
        return there.write(draft, publish=deed != "candidate")

    return Case(place, do)


DEEDS = ("save", "learn", "candidate", "replace", "remove", "rename")
MOVES = ("publish", "rollback", "prune")


@pytest.fixture(scope="module", params=[*DEEDS, *MOVES])
def case(request, llama_folder, tmp_path_factory) -> tuple[str, Case]:
    place = tmp_path_factory.mktemp("skills") / "skills"
    if request.param == "save":
        return request.param, saving(place, llama_folder)
    return request.param, changing(place, llama_folder, request.param)


def state(folder: Path) -> str:
    """Return what says which skills the version in use holds; every version must be whole."""
    for manifest in list_versions(folder):
        verify(folder, manifest.version)
    return verify(folder).content


def test_skills_on_a_failing_disk_are_the_old_or_the_new_and_it_can_be_done_again(
    case, tmp_path, part
):
    deed, (pristine, do) = case
    with disk(whole) as counted:
        done = shutil.copytree(pristine, tmp_path / "whole")
        do(done)
    old, new = state(pristine), state(done)
    assert (old == new) == (deed in ("candidate", "prune"))
    total = len(counted.done)
    numbers = range(1, total + 1) if part == "all" else spread(SAMPLE.get(deed, FEW), total)
    kinds = list(itertools.product(CODES, (False, True)))
    faults = [Fails(at, *kind) for at in numbers for kind in kinds]
    if part == "sample":
        faults = [fault for index, fault in enumerate(faults) if index % 7 == 0]
    for number, fault in enumerate(faults):
        folder = shutil.copytree(pristine, tmp_path / str(number))
        told = False
        with disk(fault):
            try:
                do(folder)
            except (OSError, InputError):
                told = True
        now = state(folder)
        assert now in (old, new), fault
        assert told or now == new, fault  # a lock that fails once is asked for again
        with disk(whole):
            if now == old:
                do(folder)
            with files.lock(folder):
                tidy(folder)
        assert state(folder) == new, fault
        assert strays(folder) == [] and unknown_tasks(folder) == set(), fault
        assert deed == "prune" or unwritten(folder) == [], fault
        shutil.rmtree(folder)
    print(f"{deed}: {len(faults)} faults at {total} operations")
