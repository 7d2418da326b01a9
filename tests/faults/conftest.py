"""A tiny run whose every operation on a file can be made to fail."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from amlora.experiment.run import run
from amlora.experiment.settings import RunSettings, load_settings
from amlora.experiment.stop import Interrupted
from broken_disk import disk, whole
from deeds import Place, Reader, made
from small_run import small_settings, write_tasks
from stopped import StopAt


class Undisturbed(NamedTuple):
    """A tiny run: its settings and their file, its finished folder, its operations' names."""

    settings: RunSettings
    file: Path
    folder: Path
    operations: list[str]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, llama_folder: Path) -> Undisturbed:
    """Two tasks of two steps each, with a checkpoint after every step; read it only."""
    place = tmp_path_factory.mktemp("undisturbed")
    write_tasks(place / "data", rows=1)
    text = small_settings(place / "data", llama_folder)
    text = text.replace("steps = 3", "steps = 2\ncheckpoint_every = 1")
    file = place / "small.toml"
    file.write_text(text.replace("max_new_tokens = 8", "max_new_tokens = 1\nmargin = 0.0"))
    settings = load_settings(file)
    with disk(whole) as counted:
        folder = run(settings, runs=place / "runs")
    return Undisturbed(settings, file, folder, counted.done)


@pytest.fixture(scope="session")
def unfinished(undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that stopped within its second task; read it only."""
    runs = tmp_path_factory.mktemp("unfinished")
    with pytest.raises(Interrupted):
        run(undisturbed.settings, runs=runs, progress=StopAt(3))
    return runs / undisturbed.folder.name


@pytest.fixture(scope="session")
def place(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder of learned skills; work on copies of it."""
    return made(tmp_path_factory.mktemp("place"), llama_folder)


@pytest.fixture(scope="session")
def reader(llama_folder: Path) -> Reader:
    """Tells what a version of it answers."""
    return Reader(llama_folder)


def pytest_generate_tests(metafunc: Any) -> None:
    """Give a test `part`: by default a sample of the cases, and all of them among the slow ones."""
    if "part" in metafunc.fixturenames:
        everything = pytest.param("all", marks=pytest.mark.slow)
        metafunc.parametrize("part", ["sample", everything])
