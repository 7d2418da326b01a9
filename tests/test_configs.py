"""Every shipped settings file loads, says what it is for, and holds only what it changes."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from amlora.cli.config import purpose, shipped
from amlora.experiment.settings import load_settings, resolved, settings_from
from amlora.grid.cells import load_grid
from amlora.streams import catalogue

FILES = shipped()


@pytest.fixture(params=FILES.values(), ids=list(FILES))
def path(request) -> Path:
    return request.param


def test_the_files_of_the_repository_are_the_shipped_ones():
    folder = Path(__file__).parents[1] / "configs"
    assert sorted(folder.glob("*.toml")) == sorted(FILES.values())
    assert {"quickstart", "order1-small", "paper", "clean"} <= set(FILES)


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


def settings_of(name: str, *overrides: str) -> dict[str, Any]:
    """Return a shipped file's settings by dotted path, the method's and the rest."""
    plain = resolved(load_settings(FILES[name], overrides))
    return {
        f"{table}.{key}": value
        for table, values in plain.items()
        if isinstance(values, dict)
        for key, value in values.items()
    }


PAPER = {
    # sections 4.1, 4.3 and 7.3, figure 5
    "model.name": "google-t5/t5-large",
    "model.dropout": None,
    "method.lora": {"rank": 8, "alpha": 32.0, "dropout": 0.1, "targets": []},
    "method.selectors": "all",
    "method.sparsity": 1e-5,
    "method.sparsity_form": "loss",
    "method.newcomer": "paper",
    "method.gain": "one",
    "stream.train_per_task": 1000,
    "stream.train_per_class": None,
    "train.lr": 1e-4,
    "train.batch": 64,
    "train.epochs": 1.0,
    "train.steps": None,
    "train.schedule": "constant",
    "train.warmup": 0,
    "train.weight_decay": 0.0,
    # O-LoRA's code
    "model.precision": "float32",
    "model.max_tokens": 512,
    "stream.prefix": "task+dataset",
    "stream.form": "full",
    "stream.drop_unlabelled": False,
    "stream.dev_from": "dev",
    "train.clip": 1.0,
    "train.bucketed": False,
    "evaluate.max_new_tokens": 50,
    "evaluate.split": "test",
}


def test_the_papers_profile_is_the_papers_whatever_the_defaults():
    found = settings_of("paper")
    assert {path: found[path] for path in PAPER} == PAPER


def test_the_clean_profile_neither_leaks_the_task_nor_tunes_for_one():
    found = settings_of("clean")
    wanted = {
        "model.dropout": 0.0,
        "method.sparsity": 1e-5,
        "stream.prefix": "off",
        "stream.drop_unlabelled": True,
        "stream.dev_from": "train",
        "stream.train_per_task": PAPER["stream.train_per_task"],
        "model.name": PAPER["model.name"],
        "train.batch": PAPER["train.batch"],
        "train.epochs": PAPER["train.epochs"],
    }
    assert {path: found[path] for path in wanted} == wanted


@pytest.mark.parametrize("order", ["4", "5", "6"])
def test_the_papers_profile_tells_the_lambdas_of_the_long_orders(order):
    text = FILES["paper"].read_text(encoding="utf-8")
    found = re.search(rf"^#   {order}: --set (.*)$", text, re.MULTILINE)
    assert found is not None
    settings = settings_of("paper", f"stream.order={order}", found[1])
    assert tuple(settings["method.sparsity"]) == catalogue.details()[order].sparsity
    assert settings["stream.order"] == order


@pytest.mark.parametrize("name", ["paper", "clean"])
def test_the_protocols_serve_as_the_base_of_a_grid(tmp_path, name):
    grid = tmp_path / "grid.toml"
    base = json.dumps(str(FILES[name]))
    grid.write_text(
        f'base = {base}\norders = ["1", "4"]\n[[methods]]\nname = "am_lora"\n'
        '[[methods]]\nname = "o_lora"\n'
    )
    assert [line.key for line in load_grid(grid).lines] == [
        ("am_lora", "1"),
        ("o_lora", "1"),
        ("am_lora", "4"),
        ("o_lora", "4"),
    ]


def test_global_batches_need_no_more_memory_than_a_micro_batch():
    for name in ("paper", "clean"):
        found = settings_of(name)
        assert found["train.batch"] > found["train.micro_batch"] == 8
