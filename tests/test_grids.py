"""Every shipped grid file loads and says what it is for; so does the documentation's example."""

import textwrap
from pathlib import Path

import pytest

from amlora.cli.shipped import find, purpose, shipped
from amlora.experiment.grid_file import load_grid
from amlora.methods import METHODS

FILES = shipped("grid").values()


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


def test_it_loads_and_is_named_after_its_file(path):
    assert load_grid(path).name == path.stem
    assert find(path.stem, "grid") == path


def test_its_first_line_says_what_it_is_for(path):
    assert purpose(path)
    assert len(purpose(path)) < 100


def test_all_methods_are_compared_each_with_rates_to_choose_from():
    grid = load_grid(find("methods-quickstart", "grid"))
    assert {group.plain["method"]["name"] for group in grid.groups} == set(METHODS)
    assert all(len(group.rates) > 1 for group in grid.groups)


def test_the_example_of_the_documentation_loads(tmp_path):
    page = (Path(__file__).parents[1] / "docs" / "howto" / "grid.md").read_text(encoding="utf-8")
    block = page.partition("## The grid file\n\n")[2].partition("\n\n| key |")[0]
    (tmp_path / "example.toml").write_text(textwrap.dedent(block))
    (tmp_path / "quickstart.toml").write_text(find("quickstart").read_text())
    grid = load_grid(tmp_path / "example.toml")
    assert [group.title for group in grid.groups] == ["am_lora", "replay-lora"]
    assert grid.groups[0].rates == (3e-4, 1e-3)
