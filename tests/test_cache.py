"""The cache where it is told to be, and what happens where it cannot be written."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from amlora.cache import cache_folder, place
from amlora.errors import InputError


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """A folder for temporary files of the test's own, and a home that is none."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.delenv("AMLORA_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/dev/null")
    return folder / f"amlora-{os.getuid()}"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"AMLORA_CACHE": "/a", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/a"),
        ({"AMLORA_CACHE": "~/a", "HOME": "/h"}, "/h/a"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/amlora"),
        ({"HOME": "/h"}, "/h/.cache/amlora"),
    ],
)
def test_the_environment_says_where_the_cache_is(temporary, monkeypatch, names, expected):
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def test_a_cache_that_can_be_made_is_used(temporary, tmp_path, monkeypatch):
    monkeypatch.setenv("AMLORA_CACHE", str(tmp_path / "not" / "yet"))
    assert place("wheels", "a.whl") == tmp_path / "not" / "yet" / "wheels" / "a.whl"


def test_without_a_home_to_write_to_files_go_to_a_private_folder(temporary):
    assert place("wheels", "a.whl") == temporary / "wheels" / "a.whl"
    assert not stat.S_IMODE(temporary.stat().st_mode) & 0o002


def test_a_private_folder_that_others_can_write_to_is_refused(temporary):
    place("wheels", "a.whl")
    temporary.chmod(0o777)
    with pytest.raises(InputError, match="set AMLORA_CACHE to a folder of yours"):
        place("wheels", "a.whl")
    temporary.rmdir()
    temporary.symlink_to("/")
    with pytest.raises(InputError, match="refused as a cache"):
        place("wheels", "a.whl")


@pytest.mark.skipif(os.getuid() == 0, reason="the superuser may write anywhere")
def test_what_a_cache_holds_is_used_although_it_cannot_be_written(temporary, tmp_path, monkeypatch):
    models = tmp_path / "home" / "models"
    (models / "one").mkdir(parents=True)
    models.chmod(0o555)
    monkeypatch.setenv("AMLORA_CACHE", str(tmp_path / "home"))
    assert place("models", "one") == models / "one"
    assert place("models", "two") == temporary / "models" / "two"
    models.chmod(0o755)
