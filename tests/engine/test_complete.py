"""Whole answers and losses from one reading of each prompt, against two readings."""

import pytest

from amlora.engine.complete import complete, keeps_states
from amlora.engine.encode import Row, decode
from amlora.engine.exact import passes
from amlora.engine.generate import generate_each
from amlora.engine.likelihood import answer_likelihoods
from amlora.engine.load import load_backbone
from amlora.engine.settings import EvaluateSettings, ModelSettings
from families import FAMILIES, save_family
from tiny import learn
from trained import load_base

LIMIT = 6
REFUSED = {"bert without is_decoder", "xlm"}
BLURRED = {"minimax", "recurrent_gemma"}
"""In transformers a padded row of these goes on from its padding, so batches answer otherwise."""
QUICK = {"bert", "gemma2", "mamba"}
CASES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in sorted(set(FAMILIES) - REFUSED - BLURRED)
]
KEPT = {"bert", "roberta"}
"""Families, of those here, whose states are read more than once."""
START = tuple(range(20, 32))
ENDS = [(50,), (51, 52, 53), (54, 55), (50,) * 9, (56, 57), (58,)]
ANSWERS = [(90, 95), (91,), (92, 93, 94), (90,), (), (90, 95, 96, 97, 98, 99, 100)]


def rows_of(backbone, start=START) -> list[Row]:
    return [
        Row("t", str(i), (*start, *end), (*answer, backbone.end_id), "x")
        for i, (end, answer) in enumerate(zip(ENDS, ANSWERS, strict=True))
    ]


def settings(**changed) -> EvaluateSettings:
    given = {"tokens_per_batch": 64, "max_new_tokens": LIMIT, "margin": 1e-3}
    return EvaluateSettings(**{**given, **changed})


def check(backbone, rows, **changed) -> list[str]:
    """Compare with generation at batch one and with likelihoods, and return the answers."""
    found = complete(backbone, rows, settings(**changed))
    ids = generate_each(backbone, [row.prompt_ids for row in rows], max_new_tokens=LIMIT)
    assert [each.text for each in found] == [decode(backbone, each) for each in ids]
    likelihoods = answer_likelihoods(backbone, rows, 1)
    for each, expected in zip(found, likelihoods, strict=True):
        assert each.losses == pytest.approx([-log for log in expected.logs], abs=1e-4)
    return [each.text for each in found]


@pytest.fixture(scope="module")
def half_trained(any_folder):
    """A model that has learned some of the rows by heart."""
    backbone = load_base(any_folder)
    for weight in backbone.model.parameters():
        weight.requires_grad_(True)
    learn(backbone, rows_of(backbone)[:4], steps=40)
    return backbone


@pytest.mark.parametrize("tokens", [1, 40, 1000])
@pytest.mark.parametrize("start", [START, (), START[:3]], ids=["shared", "none", "short"])
def test_answers_are_those_of_batch_one_and_losses_those_of_a_pass(half_trained, tokens, start):
    answers = check(half_trained, rows_of(half_trained, start), tokens_per_batch=tokens)
    assert len(set(answers)) > 2


def test_close_calls_are_generated_alone(half_trained):
    rows = rows_of(half_trained)
    assert check(half_trained, rows, margin=1e9) == check(half_trained, rows)


def test_what_follows_the_right_answer_to_its_end_is_not_written_again(half_trained, monkeypatch):
    backbone = half_trained
    rows = rows_of(backbone)[:4]
    best = {found.place: found.best for found in passes(backbone, rows, 64)}
    assert [best[i] for i in range(4)] == [[*row.answer_ids] for row in rows]
    monkeypatch.setattr("amlora.engine.complete.generate_until_certain", lambda *_, **__: [])
    read = []
    hook = backbone.model.register_forward_pre_hook(lambda *_: read.append(1))
    complete(backbone, rows, settings(tokens_per_batch=1000))
    hook.remove()
    # One token to see what is kept, what prompts share, prompts, answers.
    assert len(read) == (4 if backbone.family == "decoder-only" else 1)


@pytest.mark.parametrize("family", CASES)
def test_every_family_answers_as_it_generates(family, tmp_path):
    backbone = load_base(save_family(family, tmp_path / "model"))
    rows = rows_of(backbone)
    assert keeps_states(backbone, rows) == (family in KEPT)
    check(backbone, rows)


def test_no_rows_have_no_answers(half_trained):
    assert complete(half_trained, [], settings()) == []


def test_in_bfloat16_losses_are_those_of_a_pass_up_to_rounding(llama_folder):
    backbone = load_backbone(ModelSettings(name=str(llama_folder), precision="bfloat16"))
    rows = rows_of(backbone)
    found = complete(backbone, rows, settings(margin=1e-6))
    expected = answer_likelihoods(backbone, rows, 1)
    for each, likelihood in zip(found, expected, strict=True):
        assert each.losses == pytest.approx([-log for log in likelihood.logs], abs=0.2)
