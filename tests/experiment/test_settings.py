"""Settings: read, checked, overridden, written back."""

import json
from pathlib import Path
from typing import Any

import pytest

from amlora.errors import InputError
from amlora.experiment.settings import (
    load_settings,
    resolved,
    schema,
    settings_from,
    to_toml,
)
from amlora.methods import method_class, method_names
from refused import refusal

TASKS = (
    '[[stream.tasks]]\nname = "a"\nsource = "data/a"\n[[stream.tasks]]\nname = "b"\nsource = "b"\n'
)
SMALL = f"""
[method]
name = "am_lora"
[stream]
{TASKS}
"""


def small(**tables: object) -> dict:
    """Return the least settings as a dict, with some tables replaced."""
    return {
        "name": "small",
        "method": {"name": "am_lora"},
        "stream": {"name": "quickstart"},
        **tables,
    }


def written(folder: Path, text: str = SMALL, name: str = "first.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def complaint(raw: object) -> str:
    """Return the one line with which settings are refused."""
    return refusal(settings_from, raw)


def test_a_file_without_a_name_is_named_after_itself_and_what_is_not_given_has_its_default(
    tmp_path,
):
    settings = load_settings(written(tmp_path))
    assert settings.name == "first" and load_settings(str(written(tmp_path))) == settings
    assert (settings.seed, settings.train.batch, settings.model.name) == (0, 8, "smollm2-135m")


def test_resolved_settings_hold_every_field_and_the_method_begins_with_its_name():
    plain = resolved(settings_from(small()))
    assert list(plain) == ["name", "seed", "model", "method", "stream", "train", "evaluate"]
    assert next(iter(plain["method"])) == "name"
    assert plain["method"]["lora"] == {"rank": 8, "alpha": 32.0, "dropout": 0.1, "targets": []}
    assert plain["train"]["steps"] is None


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"model": {"name": "folder", "dropout": "none"}},
        {"method": {"name": "am_lora", "sparsity": [1e-5, 0.001], "selector_lr": 0.01}},
        {"stream": {"tasks": [{"name": "a", "source": 'a\\b "q"', "options": ["x", "ü"]}]}},
        {"train": {"steps": 3, "betas": [0.8, 0.95]}},
    ],
)
def test_written_settings_are_read_back_equal(tmp_path, tables):
    settings = settings_from(small(**tables))
    again = load_settings(written(tmp_path, to_toml(settings)))
    assert again == settings


def test_none_can_be_written_where_the_default_is_another_value(tmp_path):
    settings = load_settings(written(tmp_path), ["model.dropout=none"])
    assert settings.model.dropout is None


@pytest.mark.parametrize(
    ("tables", "line"),
    [
        ({"trian": {}}, "unknown setting 'trian'; did you mean 'train'?"),
        ({"train": {"lrr": 1}}, "unknown setting 'train.lrr'; did you mean 'lr'?"),
        (
            {"method": {"name": "am_lora", "lora": {"rnk": 4}}},
            "unknown setting 'method.lora.rnk'; did you mean 'rank'?",
        ),
        ({"train": 3}, "train: expected a table, got 3."),
        (
            {"train": {"schedule": "cosin"}},
            "train.schedule: 'cosin' is not one of 'constant', 'cosine', 'linear'; "
            "did you mean 'cosine'?",
        ),
        (
            {"method": {"name": "am_lora", "lora": {"rank": 0}}},
            "method.lora.rank must be at least 1, got 0.",
        ),
        (
            {"method": {"name": "am_lora", "sparsity": [1e-5, "x"]}},
            "method.sparsity[1]: expected a number, got 'x'.",
        ),
        (
            {"method": {"name": "sin_lora", "selector_lr": 0.1}},
            "method.selector_lr: sin_lora has no such setting; am_lora, anchored_lora have.",
        ),
        (
            {"method": {"name": "am-lora"}},
            "method.name: unknown method 'am-lora'; did you mean 'am_lora'?",
        ),
        ({"method": {}}, "method.name is missing; give one of am_lora, anchored_lora, arrow_lora,"),
        ({"method": "am_lora"}, "method: expected a table, got 'am_lora'."),
        ({"seed": -1}, "seed must be at least 0 and below 4294967296, got -1."),
        ({"seed": "0"}, "seed: expected an integer, got '0'."),
        ({"name": 3}, "name: expected a string, got 3."),
        ({"name": "../x"}, "name: '../x' cannot name a folder;"),
        ({"stream": {"order": "7"}}, "stream.order: '7' is not one of '1', '2',"),
        (
            {"stream": {"tasks": [{"name": "a", "source": "a", "hub": "b"}]}},
            "stream.tasks[0]: only one of source and hub may be given.",
        ),
        (
            {"stream": {"name": "quickstart", "order": "1"}},
            "stream: only one of name = 'quickstart' and order may be given.",
        ),
        (
            {"stream": {"name": "quickstart", "train_per_task": 0}},
            "stream.train_per_task must be at least 1, got 0.",
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_dotted_path(tables, line):
    assert complaint(small(**tables)).startswith(line)


def test_what_a_run_needs_is_named_when_missing():
    for missing in ("name", "method", "stream"):
        raw = small()
        del raw[missing]
        assert complaint(raw).startswith(f"{missing} is missing;")
    assert complaint([1]) == "expected a table, got a list."


def test_a_file_that_is_not_toml_or_not_there_is_named(tmp_path):
    path = written(tmp_path, "a = 1\nb =\n")
    with pytest.raises(InputError, match=rf"^{path}: line 2: not TOML: Invalid value"):
        load_settings(path)
    with pytest.raises(InputError, match=r"x\.toml: no such file"):
        load_settings(tmp_path / "x.toml")


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("train.lr=1e-4", "train.lr", 1e-4),
        ("train.lr = 2", "train.lr", 2.0),
        ("train.bucketed=false", "train.bucketed", False),
        ("model.name=org/model", "model.name", "org/model"),
        ('model.name="quoted"', "model.name", "quoted"),
        ("model.revision=1234567", "model.revision", "1234567"),
        ("stream.data_root=", "stream.data_root", ""),
        ("train.steps=none", "train.steps", None),
        ("method.lora.targets=['q', 'v']", "method.lora.targets", ["q", "v"]),
        ("method.sparsity=[0.1, 0.2]", "method.sparsity", [0.1, 0.2]),
        ("stream.tasks[1].label=gold", "stream.tasks.1.label", "gold"),
        ("name=2024", "name", "2024"),
        ("model.name=a=b", "model.name", "a=b"),
        ("model.name=x # y", "model.name", "x # y"),
    ],
)
def test_an_override_is_toml_or_else_text(tmp_path, override, path, value):
    found: Any = resolved(load_settings(written(tmp_path), [override]))
    for step in path.split("."):
        found = found[int(step)] if isinstance(found, list) else found[step]
    assert found == value


def test_the_last_override_wins(tmp_path):
    assert load_settings(written(tmp_path), ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("train.lr", "--set train.lr: expected dotted.path=value, such as train.lr=1e-4."),
        ("=3", "--set =3: expected dotted.path=value, such as train.lr=1e-4."),
        ("train..lr=3", "--set train..lr=3: expected dotted.path=value, such as train.lr=1e-4."),
        ("train.lrr=3", "unknown setting 'train.lrr'; did you mean 'lr'?"),
        ("seed.x=3", "seed: expected an integer, got a table."),
        (
            "stream.tasks[5].name=x",
            "--set stream.tasks[5].name=x: stream.tasks has 2 elements, no [5].",
        ),
        ("method.name.x=1", "--set method.name.x=1: method.name is a value, not a table."),
    ],
)
def test_a_wrong_override_is_one_line(tmp_path, override, line):
    assert refusal(load_settings, written(tmp_path), [override]) == line


def test_a_method_on_the_command_line_replaces_the_whole_table_and_overrides_apply_to_it(tmp_path):
    text = SMALL.replace('"am_lora"\n', '"am_lora"\nselector_lr = 0.1\n')
    settings = load_settings(written(tmp_path, text), ["method.lora.rank=2"], method="sin_lora")
    assert resolved(settings)["method"] == {
        "name": "sin_lora",
        "lora": {"rank": 2, "alpha": 32.0, "dropout": 0.1, "targets": []},
    }


def test_the_schema_for_editors_knows_every_setting_of_every_method_and_explains_it():
    found = schema()
    assert found["required"] == ["method", "stream"]
    parts = found["$defs"]
    of_methods = {
        each["$ref"].rpartition("/")[2] for each in found["properties"]["method"]["oneOf"]
    }
    assert of_methods == set(method_names())
    for name in of_methods:
        own = set(parts[name]["properties"])
        assert own == {"name", *method_class(name).Settings.model_fields}
    for name, part in parts.items():
        unexplained = {key for key, at in part["properties"].items() if "description" not in at}
        # A table of its own is explained there.
        assert unexplained <= {"name", "arrow", "lora"}, name
    rate = parts["am_lora"]["properties"]["selector_lr"]
    assert rate["anyOf"] == [{"exclusiveMinimum": 0, "type": "number"}, {"const": "none"}]
    assert rate["default"] == "none" and "null" not in json.dumps(found)
