"""Saving skills on a disk that breaks at any of its operations: the old version or the new one."""

import itertools
import shutil
from pathlib import Path

import pytest

from amlora.engine.backbone import base_of
from amlora.errors import InputError
from amlora.mixture.save import save_skills
from amlora.mixture.version import verify
from broken_disk import CODES, Fails, disk, spread, strays, whole
from trained import cards, trained

SAMPLE = 24


@pytest.fixture(scope="module")
def saving(llama_folder, tmp_path_factory):
    """A folder with one version, and a function that saves a second one of other weights there."""
    folder = tmp_path_factory.mktemp("skills") / "skills"
    backbone, mixture = trained(llama_folder, loras=2)
    base = base_of(backbone)
    save_skills(folder, mixture, base=base, tasks=cards(2), scores={})
    for layer in mixture.layers.values():
        layer.bank.w += 1
        layer.bank.a += 1

    def save(folder: Path) -> str:
        return save_skills(folder, mixture, base=base, tasks=cards(2), scores={})

    return folder, save


def contents_digest(folder: Path) -> str:
    """Return what says which skills the version in use holds, whatever its number."""
    return verify(folder).content


def test_skills_saved_on_a_failing_disk_are_the_old_or_the_new_and_can_be_saved_again(
    saving, tmp_path, part
):
    pristine, save = saving
    with disk(whole) as counted:
        done = shutil.copytree(pristine, tmp_path / "whole")
        assert save(done) == "0002"
    old, new = contents_digest(pristine), contents_digest(done)
    assert old != new
    total = len(counted.done)
    numbers = range(1, total + 1) if part == "all" else spread(SAMPLE, total)
    kinds = list(itertools.product(CODES, (False, True)))
    faults = [Fails(at, *kind) for at in numbers for kind in kinds]
    if part == "sample":
        faults = [fault for index, fault in enumerate(faults) if index % 7 == 0]
    for number, fault in enumerate(faults):
        folder = shutil.copytree(pristine, tmp_path / str(number))
        with disk(fault), pytest.raises((OSError, InputError)):
            save(folder)
        assert contents_digest(folder) in (old, new)
        with disk(whole):
            save(folder)
        assert contents_digest(folder) == new, fault
        assert strays(folder) == [], fault
        shutil.rmtree(folder)
    print(f"{len(faults)} operations failed")
