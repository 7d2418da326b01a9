"""What lies beside a learned skill, damaged or with other values behind right hashes: refused."""

import os
import shutil
from pathlib import Path
from random import Random

import pytest

from amlora.mixture.version import read_version
from amlora.skills.edit import remove
from amlora.skills.skills import Skills
from deeds import Place
from faults.mutations import changed_file
from hostile import check, ending, replaced
from refused import refusal
from signed import change_json, change_tensors, vouch
from tables import FLOAT32

SAMPLE, EVERYTHING = 40, 1000
KINDS = ("learned.json", "kept.jsonl", "kept.safetensors", "scores.json", "stages.safetensors")


def of_use(folder: Path) -> list[Path]:
    """Return the files of the version in use, but for what only people read."""
    manifest = read_version(folder)
    names = [*manifest.files, f"{manifest.folder}/manifest.json", "CURRENT"]
    return sorted(folder / name for name in names if not name.endswith("README.md"))


def look(folder: Path) -> None:
    """Read all that is read without a model, and the weights too."""
    skills = Skills(folder)
    skills.show()
    skills.facts().state()
    skills.publish(read_version(folder).version, force=True)


@pytest.mark.parametrize("kind", [*KINDS, "adapter_model.safetensors", "manifest.json"])
def test_a_damaged_file_of_a_learned_folder_is_named(place, tmp_path, kind):
    folder = place.copy(tmp_path / "skills")
    path = next(each for each in of_use(folder) if each.name == kind)
    data = path.read_bytes()
    ways = {
        "cut": lambda: path.write_bytes(data[:-1]),
        "byte": lambda: path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:]),
        "link": lambda: path.symlink_to(tmp_path / "outside"),
        "pipe": lambda: os.mkfifo(path),
        "gone": lambda: None,
    }
    (tmp_path / "outside").write_bytes(data)
    for how, change in ways.items():
        path.unlink()
        change()
        assert str(path) in refusal(look, folder), how
        path.unlink(missing_ok=True)
        path.touch()
    path.write_bytes(data)
    (path.parent / "foreign").touch()
    assert f"{path.parent}/foreign: foreign" in refusal(look, folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda f: change_json(
                f,
                "versions/0002/scores.json",
                lambda v: v["astray"].append({"skill": "film", "row": "no:1", "to": "none"}),
            ),
            "scores.json: row 'no:1' of skill 'film' is said to go astray, and is not kept",
        ),
        (
            lambda f: change_tensors(
                f, "tasks/01-*/kept.safetensors", lambda t: t["vectors"].fill_(float("nan"))
            ),
            "kept.safetensors: must be finite",
        ),
        (
            lambda f: change_json(
                f, "tasks/01-*/learned.json", lambda v: v["uses"]["scores"].update(base=-1)
            ),
            "learned.json: ",
        ),
        (
            lambda f: change_json(
                f, "versions/0002/manifest.json", lambda v: v["loras"][0].update(rank=-1)
            ),
            "manifest.json: ",
        ),
    ],
    ids=["astray", "not a number", "share", "rank"],
)
def test_values_that_no_skill_has_are_refused_behind_right_hashes(place, tmp_path, change, said):
    folder = place.copy(tmp_path / "skills")
    change(folder)
    assert said in refusal(look, folder)


def test_vectors_that_the_router_cannot_read_are_refused(place, tmp_path):
    folder = place.copy(tmp_path / "skills")
    narrow = lambda t: t.update(vectors=t["vectors"][:, :5].contiguous())  # noqa: E731
    change_tensors(folder, "tasks/02-*/kept.safetensors", narrow)
    said = refusal(remove, folder, "film", loading=FLOAT32, max_drop=2.0)
    assert "kept.safetensors: 5 numbers a prompt, and the router reads" in said


def test_learned_folders_that_somebody_changed_are_read_or_refused(place: Place, tmp_path, part):
    found: dict[str, str] = {}
    for number in range(EVERYTHING if part == "all" else SAMPLE):
        chance = Random(f"learned {number}")
        folder = place.copy(tmp_path / "skills")
        path = chance.choice(of_use(folder))
        if chance.random() < 0.1:
            how = replaced(path, chance)
        else:
            how, data = changed_file(path, chance)
            vouch(folder, path, data)
        found[f"{number}: {path.relative_to(folder)}: {how}"] = ending(lambda f=folder: look(f))
        shutil.rmtree(folder)
    check(found)
