"""Ranking options by likelihood."""

import pytest
import torch

from amlora.engine.backbone import ModelSettings, load_backbone
from amlora.engine.choose import option_scores
from amlora.engine.encode import Row, encode_pairs
from amlora.streams.prompt import Prompt
from tiny import learn

OPTIONS = ("Good", "Good day", "Bad")
PROMPTS = [Prompt("", text, "\nAnswer:") for text in ("a film", "the market fell today", "war")]


@pytest.fixture(scope="module")
def backbone(any_folder):
    return load_backbone(ModelSettings(name=str(any_folder), precision="float32", max_tokens=64))


def by_hand(backbone, prompt, option):
    ((prompt_ids, answer_ids),) = encode_pairs(backbone, [prompt], [option])
    if backbone.family == "encoder-decoder":
        ids = {
            "input_ids": torch.tensor([prompt_ids]),
            "decoder_input_ids": torch.tensor([[backbone.start_id, *answer_ids[:-1]]]),
        }
    else:
        ids = {"input_ids": torch.tensor([prompt_ids + answer_ids[:-1]])}
    with torch.no_grad():
        logits = backbone.model(**ids).logits[0, -len(answer_ids) :]
    return logits.log_softmax(-1)[range(len(answer_ids)), answer_ids].sum()


@pytest.mark.parametrize("tokens", [1, 10_000])
def test_scores_are_log_likelihoods_of_whole_answers(backbone, tokens):
    scores = option_scores(backbone, PROMPTS, OPTIONS, tokens_per_batch=tokens)
    rows = [[by_hand(backbone, prompt, option) for option in OPTIONS] for prompt in PROMPTS]
    torch.testing.assert_close(scores, torch.tensor(rows), rtol=1e-4, atol=1e-4)


def test_the_learned_option_wins_even_over_one_that_starts_with_it(any_folder):
    backbone = load_backbone(
        ModelSettings(name=str(any_folder), precision="float32", max_tokens=64)
    )
    golds = ("Good", "Good day", "Bad")
    pairs = encode_pairs(backbone, PROMPTS, golds)
    learn(
        backbone,
        [Row("t", "", *ids, gold) for ids, gold in zip(pairs, golds, strict=True)],
        steps=60,
    )
    scores = option_scores(backbone, PROMPTS, OPTIONS, tokens_per_batch=500)
    assert scores.argmax(1).tolist() == [0, 1, 2]
