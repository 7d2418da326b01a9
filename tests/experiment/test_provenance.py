"""Where a result comes from."""

import getpass
import json
import platform
import subprocess

import pytest

from amlora.experiment.provenance import git_state, provenance


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_clean_repository_has_a_commit_and_is_not_dirty(repository):
    state = git_state(repository)
    assert len(state["commit"]) == 40
    assert state["dirty"] is False


def test_a_changed_file_makes_it_dirty_and_a_new_one_does_not(repository):
    (repository / "new").write_text("2")
    assert git_state(repository)["dirty"] is False
    (repository / "a").write_text("2")
    assert git_state(repository)["dirty"] is True


def test_outside_a_repository_nothing_is_known(tmp_path):
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


def test_versions_and_device_are_plain_values_without_host_or_user(tmp_path):
    found = provenance(tmp_path)
    text = json.dumps(found, allow_nan=False)
    assert found["versions"]["python"] == platform.python_version()
    assert {"torch", "transformers", "amlora"} <= set(found["versions"])
    assert found["device"]["threads"] >= 1
    words = {word for value in found["device"].values() for word in str(value).split()}
    assert not {platform.node(), getpass.getuser()} & words
    assert platform.node() not in text
