"""Every shipped settings file loads, says what it is for, and holds only what it changes."""

import tomllib
from pathlib import Path

import pytest

from amlora.cli.shipped import purpose, shipped
from amlora.experiment.config import load_settings, resolved, settings_from

FILES = shipped()


@pytest.fixture(params=FILES.values(), ids=list(FILES))
def path(request) -> Path:
    return request.param


def test_the_files_of_the_repository_are_the_shipped_ones():
    folder = Path(__file__).parents[1] / "configs"
    assert sorted(folder.glob("*.toml")) == sorted(FILES.values())
    assert {"quickstart", "order1-small"} <= set(FILES)


def test_it_loads(path):
    assert load_settings(path).name == path.stem


def test_its_first_line_says_what_it_is_for(path):
    assert purpose(path)
    assert len(purpose(path)) < 100


def test_it_holds_nothing_that_is_the_default_anyway(path):
    given = tomllib.loads(path.read_text(encoding="utf-8"))
    least = {"name": path.stem, "method": {"name": given["method"]["name"]}, "stream": {}}
    defaults = resolved(settings_from(least))
    for table, settings in given.items():
        for key, value in settings.items():
            if (table, key) != ("method", "name"):
                assert defaults[table][key] != value, f"{table}.{key} is the default"


def test_every_value_says_whence_it_is(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    naming = ("name =", "label =", "source =", "instruction =", "options =")
    values = [line for line in lines if " = " in line and not line.startswith(("#", *naming))]
    assert [line for line in values if "#" not in line] == []
