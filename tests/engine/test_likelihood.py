"""How likely answers are, one position at a time, and options ranked by it."""

import pytest
import torch

from amlora.engine.encode import Row, encode_pairs
from amlora.engine.likelihood import answer_likelihoods, option_scores
from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.streams.prompt import Prompt
from literal import next_logits
from tiny import learn
from trained import load_base

ROWS = [
    Row("t", str(i), (1, *range(40, 43 + 3 * i)), (*range(90, 92 + i), 2), "x") for i in range(4)
]


@pytest.mark.parametrize("tokens", [1, 40, 10_000])
def test_each_token_has_its_logarithm_and_is_the_best_or_not(any_folder, tokens):
    backbone = load_base(any_folder)
    rows = [*ROWS]
    best = int(next_logits(backbone, rows[0], 0).argmax())
    rows[0] = Row("t", "0", rows[0].prompt_ids, (best, *rows[0].answer_ids[1:]), "x")
    found = answer_likelihoods(backbone, rows, tokens)
    for row, each in zip(rows, found, strict=True):
        expected = [
            (logits.log_softmax(-1)[token].item(), logits.argmax().item() == token)
            for at, token in enumerate(row.answer_ids)
            for logits in [next_logits(backbone, row, at)]
        ]
        assert each.logs == pytest.approx([log for log, _ in expected], abs=1e-4)
        assert each.best == tuple(best for _, best in expected)
    assert found[0].best[0] and not all(found[0].best)


OPTIONS = ("Good", "Good day", "Bad")
PROMPTS = [Prompt("", text, "\nAnswer:") for text in ("a film", "the market fell today", "war")]


@pytest.fixture(scope="module")
def backbone(any_folder):
    return load_backbone(ModelSettings(name=str(any_folder), precision="float32", max_tokens=64))


def by_hand(backbone, prompt, option):
    (ids,), _ = encode_pairs(backbone, [prompt], [option])
    row = Row("t", "", *ids, option)
    logs = [next_logits(backbone, row, at).log_softmax(-1) for at in range(len(row.answer_ids))]
    return sum(log[token] for log, token in zip(logs, row.answer_ids, strict=True))


@pytest.mark.parametrize("tokens", [1, 10_000])
def test_scores_are_log_likelihoods_of_whole_answers(backbone, tokens):
    scores = option_scores(backbone, PROMPTS, OPTIONS, tokens_per_batch=tokens)
    rows = [[by_hand(backbone, prompt, option) for option in OPTIONS] for prompt in PROMPTS]
    torch.testing.assert_close(scores, torch.tensor(rows), rtol=1e-4, atol=1e-4)


def test_the_learned_option_wins_even_over_one_that_starts_with_it(any_folder):
    backbone = load_base(any_folder)
    pairs, _ = encode_pairs(backbone, PROMPTS, OPTIONS)
    rows = [Row("t", "", *ids, gold) for ids, gold in zip(pairs, OPTIONS, strict=True)]
    learn(backbone, rows, steps=60)
    scores = option_scores(backbone, PROMPTS, OPTIONS, tokens_per_batch=500)
    assert scores.argmax(1).tolist() == [0, 1, 2]
