"""The reference: greedy whatever the model's own generation config says, and all is put back."""

import json
import shutil

import pytest
import torch
from transformers import GenerationConfig

from amlora.engine.encode import Row, encode_prompt
from amlora.engine.generate import configured, generate_each, inference
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.streams.prompt import Prompt
from tiny import learn

TEXTS = ["a good film", "the market fell today and the team won", "x", "bad bad bad"]


@pytest.fixture(scope="module")
def backbone(any_folder):
    return load_backbone(ModelSettings(name=str(any_folder), precision="float32", max_tokens=64))


@pytest.fixture(scope="module")
def prompts(backbone):
    return [encode_prompt(backbone, Prompt("", text, "\nAnswer:")) for text in TEXTS]


def by_hand(backbone, prompt, limit):
    """Take the best token again and again, without a cache."""
    new = []
    while len(new) < limit:
        if backbone.family == "encoder-decoder":
            ids = {
                "input_ids": torch.tensor([prompt]),
                "decoder_input_ids": torch.tensor([[backbone.start_id, *new]]),
            }
        else:
            ids = {"input_ids": torch.tensor([[*prompt, *new]])}
        with torch.no_grad():
            token = int(backbone.model(**ids).logits[0, -1].argmax())
        if token in backbone.end_ids:
            break
        new.append(token)
    return new


@pytest.mark.parametrize("batch", [1, 3])
def test_it_takes_the_best_token_at_every_step(backbone, prompts, batch):
    expected = [by_hand(backbone, prompt, 10) for prompt in prompts]
    assert generate_each(backbone, prompts, max_new_tokens=10, batch=batch) == expected
    assert len({*map(tuple, expected)}) > 1


def test_the_models_own_generation_config_changes_nothing_and_stays(backbone, prompts):
    expected = generate_each(backbone, prompts, max_new_tokens=8)
    own = backbone.model.generation_config
    backbone.model.generation_config = hostile = GenerationConfig(
        do_sample=True,
        temperature=5.0,
        num_beams=3,
        repetition_penalty=9.0,
        no_repeat_ngram_size=1,
        min_new_tokens=7,
        suppress_tokens=list(range(10, 200)),
        forced_eos_token_id=5,
        eos_token_id=7,
    )
    try:
        assert generate_each(backbone, prompts, max_new_tokens=8) == expected
        assert backbone.model.generation_config is hostile
    finally:
        backbone.model.generation_config = own


def test_the_config_and_the_mode_are_put_back_after_a_failure(backbone):
    own = backbone.model.generation_config
    backbone.model.train()
    with pytest.raises(KeyError), inference(backbone), configured(backbone, 3, None):
        raise KeyError
    assert backbone.model.generation_config is own
    assert backbone.model.training
    backbone.model.eval()


@pytest.mark.parametrize("named", [None, 7, [7, 9]], ids=str)
def test_a_models_own_generate_stops_where_answers_were_taught_to_end(any_folder, tmp_path, named):
    folder = shutil.copytree(any_folder, tmp_path / "model")
    for file in ("config.json", "generation_config.json"):
        stored = json.loads((folder / file).read_text())
        stored.pop("eos_token_id", None)
        stored |= {} if named is None else {"eos_token_id": named}
        (folder / file).write_text(json.dumps(stored))
    settings = ModelSettings(name=str(folder), precision="float32", max_tokens=64)
    backbone = load_backbone(settings, frozen=False)
    prompt = encode_prompt(backbone, Prompt("", "a good film", "\nAnswer:"))
    taught = (300, 301, 300, backbone.end_id)
    learn(backbone, [Row("task", "0", prompt, taught, "")], steps=60)
    # The model's own `generate`, as users call it.
    out = backbone.model.generate(  # pyright: ignore
        torch.tensor([prompt]), max_new_tokens=20, do_sample=False
    )[0].tolist()
    assert out[-len(taught) :] == list(taught)
    assert len(out) == len(taught) + (len(prompt) if backbone.family == "decoder-only" else 1)
