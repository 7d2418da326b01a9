"""Truncated and altered files of every kind that is stored: each is refused, and named."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from amlora.engine import checkpoint
from amlora.errors import InputError
from amlora.experiment.run import run
from amlora.mixture.version import verify
from stored import read_record

CUTS, FLIPS, FEW = 64, 1000, 24


def lengths(size: int, part: str) -> list[int]:
    """Return lengths at which a file of that size is cut off."""
    cuts = {size * piece // CUTS for piece in range(CUTS)} | {size - 1}
    return sorted(cuts) if part == "all" else sorted(cuts)[::8]


def damaged(path: Path, part: str) -> list[tuple[str, bytes]]:
    """Return what becomes of a file's bytes, and how: cut off, or with one bit flipped."""
    data = path.read_bytes()
    found = [(f"cut at {length}", data[:length]) for length in lengths(len(data), part)]
    chance = random.Random(path.name)
    total = 8 * len(data)
    for bit in chance.sample(range(total), min(total, FLIPS if part == "all" else FEW)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        found.append((f"bit {bit}", bytes(changed)))
    return found


def refuses(read: Callable[[], object], path: Path) -> bool:
    """Tell whether reading is refused in one line that names the file."""
    try:
        read()
    except InputError as error:
        text = str(error)
        # A flip in CURRENT can make it name another version, whose manifest is then missing.
        return "\n" not in text and (str(path) in text or path.name == "CURRENT")
    return False


def check(read: Callable[[], object], path: Path, part: str) -> None:
    """Damage a file in every way and read it."""
    read()
    data = path.read_bytes()
    cases = damaged(path, part)
    for how, changed in cases:
        path.write_bytes(changed)
        assert refuses(read, path), f"{path}: {how}"
    path.write_bytes(data)
    read()
    print(f"{path.name}: {len(cases)} refused")


@pytest.mark.parametrize("kind", ["current.json", "state-*", "moments-*", "rows-*"])
def test_a_damaged_checkpoint_is_refused_and_the_file_named(unfinished, tmp_path, kind, part):
    folder = shutil.copytree(unfinished, tmp_path / "run") / "checkpoint"
    found = checkpoint.load(folder)
    assert found is not None and found.phase == "train" and found.within.moments
    paths = sorted(folder.glob(kind))
    current = {"state-*": -1, "moments-*": -1}.get(kind, 0)
    check(lambda: checkpoint.load(folder), paths[current], part)


def test_a_run_does_not_go_on_from_a_damaged_checkpoint(undisturbed, unfinished, tmp_path):
    folder = shutil.copytree(unfinished, tmp_path / unfinished.name)
    path = sorted(folder.glob("checkpoint/rows-*"))[0]
    path.write_bytes(path.read_bytes().replace(b"true", b"false").replace(b"hit", b"hot"))
    before = {file: file.read_bytes() for file in folder.glob("checkpoint/*")}
    with pytest.raises(InputError, match="altered since it was written") as caught:
        run(undisturbed.settings, runs=tmp_path)
    assert str(path) in str(caught.value) and "Delete" in str(caught.value)
    assert {file: file.read_bytes() for file in folder.glob("checkpoint/*")} == before


@pytest.mark.parametrize("name", ["record.json", "rows.jsonl", "attention.json"])
def test_a_damaged_result_is_refused_and_the_file_named(undisturbed, tmp_path, name, part):
    folder = shutil.copytree(undisturbed.folder, tmp_path / "run")
    check(lambda: read_record(folder), folder / name, part)


@pytest.mark.parametrize(
    "kind",
    [
        *("CURRENT", "manifest.json", "selector.safetensors", "scores.json", "task.json"),
        *("adapter_model.safetensors", "adapter_config.json", "README.md"),
    ],
)
def test_a_damaged_file_of_skills_is_refused_and_named(undisturbed, tmp_path, kind, part):
    folder = shutil.copytree(undisturbed.folder / "skills", tmp_path / "skills")
    path = sorted(folder.rglob(kind))[0]
    check(lambda: verify(folder), path, part)


def test_every_stored_file_is_among_the_damaged_ones(undisturbed):
    found = {path.name for path in undisturbed.folder.rglob("*") if path.is_file()}
    # The last four hold nothing that is read back as a result.
    assert found == {
        *("record.json", "rows.jsonl", "attention.json", "CURRENT", "manifest.json"),
        *("selector.safetensors", "scores.json", "task.json", "adapter_model.safetensors"),
        *("adapter_config.json", "README.md", ".lock", "measured.json", "config.toml", "log.jsonl"),
    }
