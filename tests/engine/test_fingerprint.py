"""The hashes that name a base model: all of its weights, and its tokenizer."""

import json
import shutil

import pytest
import torch
from transformers import AutoTokenizer

from amlora.engine.backbone import base_of
from amlora.engine.fingerprint import tokenizer_fingerprint, weights_fingerprint
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from trained import load_base, trained


def test_a_fingerprint_names_weights_and_not_their_precision(any_folder):
    full = load_base(any_folder)
    half = load_backbone(ModelSettings(name=str(any_folder), precision="bfloat16", device="cpu"))
    assert half.fingerprint == full.fingerprint
    weights = half.model.state_dict()
    assert weights_fingerprint(dict(reversed(weights.items()))) == full.fingerprint
    weights.popitem()
    assert weights_fingerprint(weights) != full.fingerprint


@pytest.mark.parametrize("part", ["embed", "mlp", "layernorm", "k_proj"])
def test_every_weight_counts_adapted_or_not(llama_folder, part):
    backbone = load_base(llama_folder)
    name = next(name for name in backbone.model.state_dict() if part in name)
    with torch.no_grad():
        backbone.model.get_parameter(name).view(-1)[0] += 1
    assert weights_fingerprint(backbone.model.state_dict()) != backbone.fingerprint


def test_a_mixture_in_the_model_changes_nothing(any_folder):
    backbone, _ = trained(any_folder)
    assert base_of(backbone) == base_of(load_base(any_folder))


def fingerprint_of(folder):
    return tokenizer_fingerprint(AutoTokenizer.from_pretrained(folder), [2, 3])


def reversed_ids(stored):
    model = stored["model"]
    last = len(model["vocab"]) - 1
    special = {token["content"] for token in stored["added_tokens"]}
    plain = [token for token in model["vocab"] if token not in special]
    ids = [model["vocab"][token] for token in plain]
    model["vocab"] |= dict(zip(plain, reversed(ids), strict=True))
    assert max(model["vocab"].values()) == last


def two_merges_swapped(stored):
    merges = stored["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]


def no_start(stored):
    stored["post_processor"] = None


def lower_case(stored):
    stored["normalizer"] = {"type": "Lowercase"}


def one_more_token(stored):
    token = {"id": len(stored["model"]["vocab"]), "content": "<new>", "special": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    stored["added_tokens"].append(token | flags)


def padding_and_truncation(stored):
    stored["padding"] = {
        "strategy": {"Fixed": 8},
        "direction": "Left",
        "pad_to_multiple_of": None,
        "pad_id": 3,
        "pad_type_id": 0,
        "pad_token": "<pad>",
    }
    stored["truncation"] = {
        "direction": "Right",
        "max_length": 8,
        "strategy": "LongestFirst",
        "stride": 0,
    }


def merges_as_strings(stored):
    stored["model"]["merges"] = [" ".join(pair) for pair in stored["model"]["merges"]]


DECISIVE = [reversed_ids, two_merges_swapped, no_start, lower_case, one_more_token]
HARMLESS = [padding_and_truncation, merges_as_strings]


@pytest.mark.parametrize("change", [*DECISIVE, *HARMLESS], ids=lambda change: change.__name__)
def test_what_decides_a_texts_ids_counts_and_nothing_else(llama_folder, tmp_path, change):
    folder = shutil.copytree(llama_folder, tmp_path / "changed")
    path = folder / "tokenizer.json"
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))
    assert (fingerprint_of(folder) != fingerprint_of(llama_folder)) == (change in DECISIVE)


def test_a_tokenizer_keeps_its_fingerprint_when_it_is_used_and_saved_again(any_folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(any_folder)
    before = tokenizer_fingerprint(tokenizer, [2])
    tokenizer(["a", "a long text"], padding=True, truncation=True, max_length=4)
    assert tokenizer_fingerprint(tokenizer, [2]) == before
    tokenizer.save_pretrained(tmp_path)
    assert tokenizer_fingerprint(AutoTokenizer.from_pretrained(tmp_path), [2]) == before


def test_the_tokens_that_end_an_answer_count(llama_folder):
    tokenizer = AutoTokenizer.from_pretrained(llama_folder)
    assert tokenizer_fingerprint(tokenizer, [2, 3]) != tokenizer_fingerprint(tokenizer, [2, 2])
