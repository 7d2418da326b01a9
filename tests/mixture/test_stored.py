"""Skills in memory: what is parsed is what was hashed, and values that fit nothing are refused."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from amlora.engine.backbone import base_of
from amlora.errors import InputError
from amlora.mixture.io import load_skills, save_skills
from amlora.mixture.stored import read_skills
from broken_disk import disk
from trained import cards, load_base, logits, trained


@pytest.fixture(scope="module")
def pristine(llama_folder, tmp_path_factory) -> Path:
    """A folder with one version of two LoRAs."""
    folder = tmp_path_factory.mktemp("pristine") / "skills"
    backbone, mixture = trained(llama_folder, loras=2)
    save_skills(folder, mixture, base=base_of(backbone), tasks=cards(2), scores={})
    return folder


@pytest.fixture
def skills(pristine, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(pristine, tmp_path / "skills"))


def stored(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


def test_every_file_is_opened_once(skills):
    opened = Counter()

    def note(number, name, arguments):
        if name == "open":
            opened[arguments[0]] += 1

    with disk(note):
        read_skills(skills)
    assert opened == dict.fromkeys(stored(skills), 1)


def test_a_file_that_is_swapped_after_it_was_checked_is_not_what_is_used(skills, llama_folder):
    read: list[Path] = []

    def swap(number, name, arguments):
        """Flip the last bit of every file that was opened before this one."""
        if name == "open":
            for path in read:
                data = path.read_bytes()
                path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            read[:] = [arguments[0]]

    with disk(swap):
        found = read_skills(skills)
    backbone = load_base(llama_folder)
    load_skills(skills, backbone.model, found, base=base_of(backbone))
    assert torch.equal(logits(backbone), logits(trained(llama_folder, loras=2)[0]))
    with pytest.raises(InputError, match="altered"):
        read_skills(skills)
