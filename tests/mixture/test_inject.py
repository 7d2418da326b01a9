"""Finding the projections of many model types, and models that still work once they are adapted."""

import pytest
import torch
from torch import nn

from amlora.errors import InputError
from amlora.mixture.inject import (
    FUSED,
    QUERY_AND_VALUE,
    adapted_projections,
    find_targets,
    inject,
    linear_sizes,
    matches,
    remove,
)
from amlora.mixture.layer import Control, MixtureLinear
from mixture.cases import TINY, Quantised, tiny_model

COUNTS = {"bart": 6, "t5": 6, "falcon": 2, "gpt2": 2, "gpt_neox": 2, "phi3": 2}
"""Adapted modules: an attention block gives two, or one where it keeps q, k and v in one module.
The encoder-decoders have one block in the encoder and two in the decoder, the others two blocks."""


def adapted(model_type, control=None):
    model = tiny_model(model_type)
    targets = find_targets(model, model_type)
    return model, inject(model, targets, control or Control())


def answers(model):
    """Its logits, and what it generates."""
    ids = torch.arange(3, 13).view(2, 5)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    written = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids[:, :3]
    with torch.no_grad():
        return model(**inputs).logits, written


def grow(mixture, name="first"):
    mixture.grow(name, rank=2, alpha=4.0, start="uniform", seed=0)


@pytest.mark.parametrize("model_type", TINY)
def test_finds_the_query_and_value_of_every_attention_block(model_type):
    targets = find_targets(tiny_model(model_type), model_type)
    found = {name.rsplit(".", 1)[-1] for name in targets}
    assert [
        model_type in QUERY_AND_VALUE[pair].split()
        for pair in QUERY_AND_VALUE
        if set(pair) == found
    ] == [True]
    assert len(targets) == COUNTS.get(model_type, 4)


@pytest.mark.parametrize("model_type", TINY)
def test_an_adapted_model_answers_and_generates_as_before_while_b_is_zero(model_type):
    model = tiny_model(model_type)
    before = answers(model)
    mixture = inject(model, find_targets(model, model_type), Control())
    for name in ("first", "second"):
        grow(mixture, name)
        assert all(map(torch.equal, answers(model), before))


@pytest.mark.parametrize("model_type", TINY)
def test_every_adapted_layer_of_a_trained_model_matters_and_gets_gradients(model_type):
    model, mixture = adapted(model_type)
    logits, _ = answers(model)
    grow(mixture)
    mixture.train_newest("all")
    with torch.no_grad():
        for parameter in mixture.lora_parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    assert not torch.equal(answers(model)[0], logits)
    ids = torch.arange(3, 13).view(2, 5)
    model(input_ids=ids, labels=ids).loss.backward()
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    ours = [*mixture.lora_parameters(), *mixture.selector_parameters()]
    assert trained == {id(parameter) for parameter in ours}
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in ours)


def test_removing_puts_the_very_modules_back():
    model = tiny_model("llama")
    before = dict(model.named_modules())
    mixture = inject(model, find_targets(model, "llama"), Control())
    remove(model, mixture)
    assert dict(model.named_modules()) == before


def test_names_and_shell_patterns_choose_targets_and_an_unknown_type_has_usual_ones():
    model = tiny_model("llama")
    assert find_targets(model, "tomorrow") == find_targets(model, "llama")
    chosen = find_targets(model, "llama", ["o_proj", "model.layers.1.*.up_proj"])
    assert chosen == [
        "model.layers.0.self_attn.o_proj",
        "model.layers.1.self_attn.o_proj",
        "model.layers.1.mlp.up_proj",
    ]


@pytest.mark.parametrize(
    ("model_type", "stated", "patterns", "message"),
    [
        ("gpt2", "tomorrow", [], r"type 'tomorrow'.*candidates: c_attn, c_fc, c_proj"),
        (
            "llama",
            "llama",
            ["v_proj", "q_prj"],
            r"'q_prj' matches no.*did you mean 'q_proj'\?; can",
        ),
    ],
)
def test_what_matches_nothing_lists_the_candidates(model_type, stated, patterns, message):
    with pytest.raises(InputError, match=message):
        find_targets(tiny_model(model_type), stated, patterns)


def test_a_pattern_is_a_whole_last_part_or_a_whole_name():
    assert matches("a.q_proj", "q_proj")
    assert not matches("a.q_proj", "proj")
    assert not matches("a.q_proj.b", "q_proj")
    assert matches("a.0.q_proj", "a.[0-3].*")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.layers.0.self_attn", "LlamaAttention, no linear"),
        ("model.layers.0.self_attn.q_prj", "did you mean 'model.layers.0.self_attn.q_proj'"),
    ],
)
def test_a_name_that_cannot_be_adapted_leaves_the_model_as_it_was(name, message):
    model = tiny_model("llama")
    with pytest.raises(InputError, match=message):
        inject(model, ["model.layers.0.self_attn.v_proj", name], Control())
    assert not any(isinstance(module, MixtureLinear) for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    mixture = inject(model, find_targets(model, "llama"), Control())
    with pytest.raises(InputError, match="MixtureLinear, no linear"):  # not twice
        inject(model, list(mixture.layers), Control())


def test_a_quantised_linear_is_found_and_adapted():
    model = nn.ModuleDict({"q_proj": Quantised(6, 5), "v_proj": Quantised(6, 4)})
    mixture = inject(model, find_targets(model, "tomorrow"), Control())
    grow(mixture)
    x = torch.randn(3, 6)
    assert [layer.bank.b.shape for layer in mixture.layers.values()] == [(2, 5), (2, 4)]
    assert torch.equal(model["q_proj"](x), Quantised(6, 5)(x))


def test_other_modules_are_no_linears():
    assert linear_sizes(nn.Linear(6, 5)) == (6, 5)
    for module in (nn.LayerNorm(4), nn.Embedding(4, 4), nn.Bilinear(2, 2, 2)):
        assert linear_sizes(module) is None


@pytest.mark.parametrize(
    ("model_type", "projections", "with_key"),
    [("llama", ["q_proj", "v_proj"], []), ("t5", ["q", "v"], []), ("gpt2", ["c_attn"], ["c_attn"])],
)
def test_a_model_tells_its_adapted_projections_and_which_hold_the_key(
    model_type, projections, with_key
):
    assert adapted_projections(tiny_model(model_type)) == {"projections": [], "with_key": []}
    found = adapted_projections(adapted(model_type)[0])
    assert found == {"projections": projections, "with_key": with_key}
    assert {name for pair in QUERY_AND_VALUE if len(pair) == 1 for name in pair} <= FUSED
