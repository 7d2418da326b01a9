"""Generation that stops when the score is certain must score as the whole answer does."""

from dataclasses import replace

import pytest

from amlora.engine.encode import Row, decode, encode_pairs
from amlora.engine.generate import generate_each
from amlora.engine.load import load_backbone
from amlora.engine.settings import EvaluateSettings, ModelSettings
from amlora.engine.until_certain import generate_until_certain
from amlora.evaluate.score import is_match
from amlora.streams.prompt import Prompt
from tiny import learn

LIMIT = 6
TEXTS = ("a film", "the market fell", "war", "the team won the game", "x", "bad film good")
GOLDS = ("Good", "Good day", "Bad", "very negative", "neg", "Good")


@pytest.fixture(scope="module")
def scored(any_folder):
    """A half-trained model, rows, and their whole answers."""
    backbone = load_backbone(
        ModelSettings(name=str(any_folder), precision="float32", max_tokens=64)
    )
    pairs, _ = encode_pairs(backbone, [Prompt("", text, "\nAnswer:") for text in TEXTS], GOLDS)
    rows = [
        Row("t", str(i), *ids, gold) for i, (ids, gold) in enumerate(zip(pairs, GOLDS, strict=True))
    ]
    learn(backbone, rows[:4], steps=40)
    ids = generate_each(backbone, [row.prompt_ids for row in rows], max_new_tokens=LIMIT)
    whole = [decode(backbone, each) for each in ids]
    return backbone, rows, whole


@pytest.mark.parametrize("margin", [0.0, 1e9])
@pytest.mark.parametrize("tokens", [1, 10_000])
def test_texts_score_as_whole_answers_do(scored, tokens, margin):
    backbone, rows, whole = scored
    texts = generate_until_certain(
        backbone,
        rows,
        EvaluateSettings(tokens_per_batch=tokens, max_new_tokens=LIMIT, margin=margin),
    )
    golds = [row.gold for row in rows]
    assert list(map(is_match, texts, golds)) == list(map(is_match, whole, golds))
    assert any(map(is_match, whole, golds)) and not all(map(is_match, whole, golds))
    assert all(answer.startswith(text) for answer, text in zip(whole, texts, strict=True))


def test_texts_score_as_whole_answers_do_by_the_exact_rule(scored):
    backbone, rows, whole = scored
    rows = [replace(row, gold=gold) for row, gold in zip(rows, ["good", *GOLDS[1:]], strict=True)]
    settings = EvaluateSettings(
        tokens_per_batch=10_000, max_new_tokens=LIMIT, margin=0.0, rule="exact"
    )
    texts = generate_until_certain(backbone, rows, settings)
    matches = [
        [is_match(text, row.gold, "exact") for text, row in zip(made, rows, strict=True)]
        for made in (texts, whole)
    ]
    assert matches[0] == matches[1]
    assert any(matches[1]) and not matches[1][0]


def test_a_certain_miss_is_not_generated_to_its_end(scored):
    backbone, rows, whole = scored
    hopeless = [
        Row(row.task, row.row, row.prompt_ids, row.answer_ids, "qqq")
        for row, answer in zip(rows, whole, strict=True)
        if answer.strip()
    ]
    calls = []
    hook = backbone.model.register_forward_pre_hook(lambda *_: calls.append(1))
    generate_until_certain(
        backbone,
        hopeless,
        EvaluateSettings(tokens_per_batch=10_000, max_new_tokens=LIMIT, margin=0.0),
    )
    hook.remove()
    assert len(calls) <= 3


def test_a_close_call_in_a_batch_is_generated_alone(scored):
    backbone, rows, _ = scored
    read = "input_ids" if backbone.family == "decoder-only" else "decoder_input_ids"
    sizes = []
    hook = backbone.model.register_forward_pre_hook(
        lambda _, args, given: sizes.append(len(given[read])), with_kwargs=True
    )
    generate_until_certain(
        backbone, rows, EvaluateSettings(tokens_per_batch=10_000, max_new_tokens=1, margin=1e9)
    )
    hook.remove()
    assert sizes == [len(rows)] + [1] * len(rows)
