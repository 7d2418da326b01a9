"""Damaged, foreign and half-written skills folders: every one is refused, and the file is named."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
import torch

from amlora import files
from amlora.engine.backbone import base_of
from amlora.errors import InputError
from amlora.mixture.io import load_skills, save_skills
from amlora.mixture.layer import MixtureLinear
from amlora.mixture.manifest import FORMAT, verify
from amlora.mixture.stored import read_skills
from trained import cards, load_base, trained

CUTS, FLIPS = 64, 16  # of each file


@pytest.fixture(scope="module")
def pristine(llama_folder, tmp_path_factory) -> Path:
    """A folder with one version of two LoRAs."""
    folder = tmp_path_factory.mktemp("pristine") / "skills"
    backbone, mixture = trained(llama_folder, loras=2)
    base = base_of(backbone)
    save_skills(folder, mixture, base=base, tasks=cards(2), scores={"metrics": {"average": 0.5}})
    return folder


@pytest.fixture
def skills(pristine, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(pristine, tmp_path / "skills"))


def stored(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")


def refused(folder: Path, path: Path) -> bool:
    """Tell whether the folder is refused, and the damaged file named."""
    try:
        verify(folder)
    except InputError as error:
        # A flip in CURRENT can make it name another version or another hash.
        return str(path) in str(error) or path.name == "CURRENT"
    return False


def sign(folder: Path, **changes: object) -> None:
    """Change a manifest and make CURRENT vouch for it, as an attacker would."""
    path = folder / "versions" / "0001" / "manifest.json"
    files.write_json(path, files.read_json(path) | changes)
    files.write_text(folder / "CURRENT", f"0001 {files.sha256_file(path)}\n")


def manifest(folder: Path) -> dict:
    return files.read_json(folder / "versions" / "0001" / "manifest.json")


def test_an_undamaged_copy_is_accepted(skills):
    assert verify(skills).version == "0001"


def test_every_truncation_is_refused_and_named(skills):
    for path in stored(skills):
        data = path.read_bytes()
        for length in {len(data) * part // CUTS for part in range(CUTS)} | {len(data) - 1}:
            path.write_bytes(data[:length])
            assert refused(skills, path), (path, length)
        path.write_bytes(data)
    assert verify(skills)


def test_every_bit_flip_is_refused_and_named(skills):
    chance = random.Random(0)
    for path in stored(skills):
        data = path.read_bytes()
        for bit in chance.sample(range(8 * len(data)), FLIPS):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            assert refused(skills, path), (path, bit)
        path.write_bytes(data)
    assert verify(skills)


def test_every_missing_file_is_refused_and_named(skills):
    for path in stored(skills):
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(InputError, match="missing") as caught:
            verify(skills)
        assert str(path) in str(caught.value)
        path.write_bytes(data)


def test_a_longer_file_is_refused(skills):
    path = next(skills.glob("tasks/*/task.json"))
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(InputError, match=r"task.json: altered: \d+ bytes where"):
        verify(skills)


@pytest.mark.parametrize("where", ["versions/0001", "tasks/01-*", "tasks/02-*"])
def test_a_foreign_file_is_refused_and_named(skills, where):
    folder = next(skills.glob(where))
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"pytorch_model.bin: foreign"):
        verify(skills)


def test_a_file_beside_the_folders_is_nobodys_business(skills):
    (skills / ".gitattributes").write_text("")
    (skills / "README.md").write_text("")
    assert verify(skills)


@pytest.mark.parametrize("name", ["CURRENT", "tasks", "versions", "versions/0001", "tasks/01-*"])
def test_a_link_is_refused_and_named(skills, tmp_path, name):
    path = next(skills.glob(name))
    outside = tmp_path / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    with pytest.raises(InputError, match="refuses a link") as caught:
        verify(skills)
    assert str(path) in str(caught.value)


def test_a_link_in_place_of_any_file_is_refused(skills, tmp_path):
    for path in stored(skills):
        outside = tmp_path / "outside"
        path.rename(outside)
        path.symlink_to(outside)
        with pytest.raises(InputError, match="refuses a link") as caught:
            verify(skills)
        assert str(path) in str(caught.value)
        outside.replace(path)


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(skills):
    path = skills / "versions" / "0001" / "scores.json"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match="special file"):
        verify(skills)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../outside", "tasks/../../outside", "versions/0001/../x", "CURRENT"]
)
def test_a_path_that_leaves_the_folders_is_refused_and_named(skills, path):
    sign(skills, files=manifest(skills)["files"] | {path: {"size": 0, "sha256": "0" * 64}})
    with pytest.raises(InputError) as caught:
        verify(skills)
    assert f"refuses the path {path!r}" in str(caught.value)


@pytest.mark.parametrize(
    "path", ["/etc", "..", "tasks/..", "tasks/01-a-00000000/x", "versions/0001"]
)
def test_a_loras_folder_that_is_none_of_ours_is_refused_and_named(skills, path):
    loras = manifest(skills)["loras"]
    sign(skills, loras=[loras[0] | {"folder": path}, *loras[1:]])
    with pytest.raises(InputError) as caught:
        verify(skills)
    assert f"refuses the folder {path!r}" in str(caught.value)


def test_a_manifest_must_speak_of_every_file(skills):
    entries = manifest(skills)["files"]
    del entries["versions/0001/selector.safetensors"]
    sign(skills, files=entries)
    with pytest.raises(InputError, match=r"says nothing about '.*/selector\.safetensors'"):
        verify(skills)


@pytest.mark.parametrize(
    ("stated", "way"), [(FORMAT + 1, "install a newer one"), (FORMAT - 1, "learn them again")]
)
def test_another_format_is_refused_in_one_line(skills, stated, way):
    sign(skills, format=stated, news="of another time")
    with pytest.raises(InputError, match=f"but this amlora reads {FORMAT}; {way}") as caught:
        verify(skills)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"news": 1}, "unknown setting 'news'"),
        ({"combine": "max"}, "combine"),
        ({"format": "one"}, "format"),
        ({"version": "0002"}, "says that it is version '0002'"),
        ({"targets": 5}, "targets"),
    ],
)
def test_a_manifest_that_is_none_is_refused(skills, changes, told):
    sign(skills, **changes)
    with pytest.raises(InputError, match=told):
        verify(skills)


def test_a_version_cannot_follow_itself(skills):
    sign(skills, previous={"version": "0001", "sha256": "0" * 64})
    with pytest.raises(InputError, match="version 0001 follows '0001'"):
        verify(skills, "0000")


def test_a_lora_of_another_rank_than_stated_is_refused_and_the_model_left_alone(
    skills, llama_folder
):
    loras = manifest(skills)["loras"]
    sign(skills, loras=[loras[0] | {"rank": 5}, *loras[1:]])
    backbone = load_base(llama_folder)
    with pytest.raises(InputError, match=r"A.weight: shape \(4, 48\), expected \(5, any\)"):
        load_skills(skills, backbone.model, read_skills(skills), base=base_of(backbone))
    assert not [m for m in backbone.model.modules() if isinstance(m, MixtureLinear)]


def test_a_selector_of_the_wrong_shape_leaves_the_model_alone(skills, llama_folder):
    path = skills / "versions" / "0001" / "selector.safetensors"
    tensors = files.read_tensors(path)
    name = min(tensors)
    files.write_tensors(path, tensors | {name: torch.zeros(2, 2)}, {})
    entry = {"size": path.stat().st_size, "sha256": files.sha256_file(path)}
    entries = manifest(skills)["files"]
    sign(skills, files=entries | {"versions/0001/selector.safetensors": entry})
    backbone = load_base(llama_folder)
    with pytest.raises(InputError, match=r"q_proj: width 2 \(w\), but the layer.s is 48"):
        load_skills(skills, backbone.model, read_skills(skills), base=base_of(backbone))
    assert not [m for m in backbone.model.modules() if isinstance(m, MixtureLinear)]


class Killed(BaseException):
    """The end of a process, as far as one process can play it to itself."""


def test_a_save_that_dies_at_any_flush_leaves_the_old_version_or_the_new(
    skills, llama_folder, tmp_path, monkeypatch
):
    backbone, mixture = trained(llama_folder, loras=1)  # the second one's folder is not used
    base = base_of(backbone)
    for layer in mixture.layers.values():
        layer.bank.a += 1
    flush, calls = os.fsync, []

    def save(folder, dies_at):
        calls.clear()

        def fsync(handle):
            calls.append(handle)
            if len(calls) == dies_at:
                raise Killed
            flush(handle)

        monkeypatch.setattr(os, "fsync", fsync)
        return save_skills(folder, mixture, base=base, tasks=cards(1), scores={})

    assert save(shutil.copytree(skills, tmp_path / "whole"), 0) == "0002"
    versions = []
    for dies_at in range(1, len(calls) + 1):
        folder = shutil.copytree(skills, tmp_path / f"{dies_at}")
        with pytest.raises(Killed):
            save(folder, dies_at)
        versions.append(verify(folder).version)
        done = save(folder, 0)
        assert verify(folder).version == done
    assert versions == sorted(versions)
    assert set(versions) == {"0001", "0002"}


def test_what_a_killed_writer_left_is_swept_up(skills, llama_folder):
    (skills / "versions" / "0002").mkdir()
    (skills / "versions" / "0002" / "scores.json").write_text("{")
    backbone, mixture = trained(llama_folder, loras=2)
    base = base_of(backbone)
    stray = next(skills.glob("tasks/01-*")) / f"{files.TEMPORARY}x"
    stray.write_text("")
    done = save_skills(skills, mixture, base=base, tasks=cards(2), scores={})
    assert (done, verify(skills).version) == ("0002", "0002")
    assert json.loads((skills / "versions" / "0002" / "scores.json").read_text()) == {}


def test_an_altered_task_folder_is_not_written_over(skills, llama_folder):
    path = next(skills.glob("tasks/01-*")) / "task.json"
    path.write_text("{}")
    backbone, mixture = trained(llama_folder, loras=2)
    base = base_of(backbone)
    with pytest.raises(InputError, match=r"task.json: altered since it was written"):
        save_skills(skills, mixture, base=base, tasks=cards(2), scores={})
    assert path.read_text() == "{}"


def test_nothing_is_written_through_a_link(skills, llama_folder, tmp_path):
    outside = tmp_path / "outside"
    (skills / "tasks").rename(outside)
    (skills / "tasks").symlink_to(outside)
    before = sorted(outside.rglob("*"))
    backbone, mixture = trained(llama_folder, loras=2)
    for layer in mixture.layers.values():
        layer.bank.a += 1
    base = base_of(backbone)
    with pytest.raises(InputError, match="refuses a link"):
        save_skills(skills, mixture, base=base, tasks=cards(2), scores={})
    assert sorted(outside.rglob("*")) == before
