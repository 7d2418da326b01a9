"""`amlora methods`: every method with what it trains and stores, in words or counted on a model."""

import json
from typing import cast

import pytest
from torch import nn

from amlora.cli.methods import WORDS, grown
from amlora.methods import METHODS, method_class
from command import amlora


def test_every_method_is_listed_with_what_it_needs_trains_and_stores():
    status, out, _ = amlora("methods", "--json")
    assert status == 0
    facts = {fact["name"]: fact for fact in json.loads(out)}
    assert set(METHODS) <= set(facts)
    for name in METHODS:
        method = method_class(name)
        assert facts[name]["needs_task_id"] == method.needs_task_id
        assert facts[name]["stores_examples"] == method.stores_examples
        assert facts[name]["schedule"] == method.schedule
        assert facts[name]["trained"] and facts[name]["stored"]


def test_words_are_of_methods_that_are_there():
    assert set(WORDS) == set(METHODS)


def test_what_is_stored_is_what_answers_need():
    assert WORDS["inf_lora"][1] == WORDS["inc_lora"][1]  # its subspaces are not counted
    assert "variances" in WORDS["anchored_lora"][1]


def test_the_list_has_a_line_for_each():
    status, out, _ = amlora("methods")
    header, *lines = out.splitlines()
    assert status == 0 and header.split()[:2] == ["METHOD", "SCHEDULE"]
    assert set(METHODS) <= {line.split()[0] for line in lines}
    told = {line.split()[0]: line for line in lines}
    assert " made up " in told["lfpt5"] and " made up " not in told["replay"]
    (line,) = [line for line in lines if line.startswith("per_task_ft ")]
    assert line.split()[1:4] == ["per_task", "yes", "no"]


def test_counts_on_a_model_are_those_of_its_layers(any_folder):
    from amlora.engine.load import load_backbone
    from amlora.engine.settings import ModelSettings
    from amlora.mixture.inject import find_targets

    model = load_backbone(ModelSettings(name=str(any_folder))).model
    names = find_targets(model, model.config.model_type, ())
    layers = [cast(nn.Linear, model.get_submodule(name)) for name in names]
    lora = sum(8 * (layer.in_features + layer.out_features) for layer in layers)
    selector = sum(layer.out_features for layer in layers)
    whole = sum(weight.numel() for weight in model.parameters())
    status, out, _ = amlora("methods", "--model", str(any_folder), "--json")
    assert status == 0
    facts = {fact["name"]: fact for fact in json.loads(out)}
    counts = {
        name: (facts[name]["trained_parameters"], facts[name]["stored_parameters"])
        for name in ("seq_ft", "mtl", "per_task_ft", "sin_lora", "inc_lora", "am_lora")
    }
    assert counts == {
        "seq_ft": ([whole] * 3, [whole] * 3),
        "mtl": ([whole], [whole]),
        "per_task_ft": ([whole] * 3, [whole, 2 * whole, 3 * whole]),
        "sin_lora": ([lora] * 3, [lora] * 3),
        "inc_lora": ([lora] * 3, [lora, 2 * lora, 3 * lora]),
        "am_lora": (
            [lora + n * selector for n in (1, 2, 3)],
            [n * (lora + selector) for n in (1, 2, 3)],
        ),
    }
    assert all(fact["model"] == str(any_folder) for fact in facts.values())


def test_one_methods_settings_come_with_its_counts(llama_folder):
    status, out, _ = amlora("methods", "sin_lora", "--model", str(llama_folder))
    assert status == 0
    assert "\ntrained  2.69 k\nstored   2.69 k\n" in out
    assert "\n[method.lora]\nrank = 8\n" in out


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ([1000], "1 k"),
        ([1000, 1000, 1000], "1 k"),
        ([1000, 2000, 3000], "1 k a task"),
        ([1000, 1010, 1020], "1 k, 10 more a task"),
    ],
)
def test_growth_is_told(counts, text):
    assert grown(counts) == text
