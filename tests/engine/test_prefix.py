"""The shared start of prompts: run once, and the same answers."""

import pytest
import torch
from transformers.cache_utils import DynamicLayer

from amlora.engine.encode import Row
from amlora.engine.exact import score_rows
from amlora.engine.generate import inference
from amlora.engine.prefix import NOTHING, common, shared_prefix
from amlora.engine.settings import EvaluateSettings
from trained import load_base

START = tuple(range(20, 40))


def rows(start=START) -> list[Row]:
    ends = [(50,), (51, 52, 53), (54, 55), (50, 50, 50, 50, 50), (56,)]
    return [Row("t", str(i), (*start, *end), (90 + i, 2), "x") for i, end in enumerate(ends)]


def test_a_prefix_leaves_every_prompt_a_token_of_its_own():
    assert common(rows()) == len(START)
    assert common([*rows(), Row("t", "9", START, (90, 2), "x")]) == len(START) - 1
    assert common([]) == 0
    assert common([Row("t", "0", (1,), (2,), "x"), Row("t", "1", (3, 4), (2,), "x")]) == 0


def test_logits_behind_a_prefix_are_those_of_whole_prompts(llama_folder):
    backbone = load_base(llama_folder)
    with inference(backbone):
        prefix = shared_prefix(backbone, rows())
        assert prefix.length == len(START)
        _, ours = prefix.logits(backbone, [prefix.cut(row) for row in rows()])
        _, whole = NOTHING.logits(backbone, rows())
    torch.testing.assert_close(ours, whole, rtol=1e-4, atol=1e-4)


def test_a_prefix_serves_many_batches(llama_folder):
    backbone = load_base(llama_folder)
    with inference(backbone):
        prefix = shared_prefix(backbone, rows())
        cut = [prefix.cut(row) for row in rows()]
        first = prefix.logits(backbone, cut)[1]
        again = prefix.logits(backbone, cut)[1]
        assert prefix.cache is not None
        assert torch.equal(first, again)
    assert prefix.cache.get_seq_length() == len(START)
    for layer in prefix.cache.layers:  # one row's, whatever rows there were
        assert isinstance(layer, DynamicLayer) and layer.keys is not None and len(layer.keys) == 1


@pytest.mark.parametrize("start", [(), START[:3]])
def test_short_starts_are_not_worth_a_cache(llama_folder, start):
    backbone = load_base(llama_folder)
    with inference(backbone):
        assert shared_prefix(backbone, rows(start)) is NOTHING


def test_an_encoder_reads_in_both_directions_and_shares_nothing(t5_folder):
    backbone = load_base(t5_folder)
    with inference(backbone):
        assert shared_prefix(backbone, rows()) is NOTHING


def test_decisions_are_those_of_rows_scored_one_by_one(llama_folder):
    backbone = load_base(llama_folder)
    settings = EvaluateSettings(tokens_per_batch=64, max_new_tokens=4)
    together, _ = score_rows(backbone, rows(), settings)
    alone = [score_rows(backbone, [row], settings)[0][0] for row in rows()]
    assert [a.hit for a in together] == [a.hit for a in alone]
