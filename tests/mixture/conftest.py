"""Folders of skills that tests may damage."""

import shutil
from pathlib import Path

import pytest

from written import KINDS, saved


@pytest.fixture(scope="session")
def kinds(llama_folder, tmp_path_factory) -> dict[str, Path]:
    """A folder of each kind of skills, with one version of two LoRAs."""
    place = tmp_path_factory.mktemp("kinds")
    return {kind: saved(place / kind, llama_folder, kind=kind) for kind in KINDS}


@pytest.fixture
def skills(kinds, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(kinds["plain"], tmp_path / "skills"))
