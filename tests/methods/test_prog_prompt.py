"""Progressive Prompts: the order of prompts, what is frozen, and answers that never change."""

import pytest
import torch

from amlora.methods.prog_prompt import ProgPrompt, ProgPromptSettings
from methods.learning import STAGES, answers, learn, train
from trained import load_base

LENGTH = 3


def make(folder, **options) -> ProgPrompt:
    options = {"length": LENGTH, **options}
    return ProgPrompt(load_base(folder), ProgPromptSettings(**options), seed=0)


def soft(method: ProgPrompt, stage) -> list[int]:
    """Return the numbers of the prompts in front of a stage's rows, and check the ids within."""
    first = method.embedding.first
    [ids] = {row.prompt_ids[: -len(plain.prompt_ids)] for row, plain in pairs(method, stage)}
    prompts = [(id - first) // LENGTH for id in ids[::LENGTH]]
    assert list(ids) == [first + LENGTH * prompt + i for prompt in prompts for i in range(LENGTH)]
    return prompts


def pairs(method, stage):
    return zip(method.readable(stage.rows, scoring=True), stage.rows, strict=True)


def test_a_new_prompt_stands_before_the_earlier_ones_and_then_comes_the_text(any_folder):
    method = make(any_folder)
    assert method.readable(STAGES[0].rows, scoring=True) == STAGES[0].rows
    for stage, expected in zip(STAGES, ([0], [1, 0], [2, 1, 0]), strict=True):
        method.begin(stage)
        method.before_step(stage, 0)
        assert soft(method, stage) == expected
        read, plain = method.readable(stage.rows, scoring=True)[0], stage.rows[0]
        assert read.prompt_ids[-len(plain.prompt_ids) :] == plain.prompt_ids
        assert read.answer_ids == plain.answer_ids
        method.end(stage)


def test_an_answer_is_read_with_the_prompts_of_its_time(any_folder):
    method = make(any_folder)
    for stage in STAGES[:2]:
        learn(method, stage)
    for stage, expected in zip(STAGES, ([0], [1, 0], [1, 0]), strict=True):
        method.route(stage.task)
        assert soft(method, stage) == expected
    method.route(None)
    assert method.readable(STAGES[0].rows, scoring=True) == list(STAGES[0].rows)


@pytest.mark.parametrize("options", [{}, {"reparameterise": True, "bottleneck": 16}])
def test_earlier_answers_stay_unchanged_bit_for_bit(any_folder, options):
    method = make(any_folder, **options)
    learn(method, STAGES[0])
    first = answers(method, STAGES[0])
    learn(method, STAGES[1])
    second = answers(method, STAGES[1])
    assert torch.equal(answers(method, STAGES[0]), first)
    method.begin(STAGES[2])
    assert torch.equal(answers(method, STAGES[1]), second)
    train(method, STAGES[2])
    assert torch.equal(answers(method, STAGES[1]), second)
    method.end(STAGES[2])
    assert torch.equal(answers(method, STAGES[0]), first)
    assert torch.equal(answers(method, STAGES[1]), second)
    assert not torch.equal(answers(method, STAGES[0], told=False), first)


def test_a_stage_is_trained_with_all_prompts_whatever_was_scored_before_it(any_folder):
    method = make(any_folder)
    learn(method, STAGES[0])
    method.begin(STAGES[1])
    answers(method, STAGES[0])
    read = method.readable(STAGES[1].rows, scoring=False)[0]
    assert len(read.prompt_ids) == len(STAGES[1].rows[0].prompt_ids) + 2 * LENGTH


def test_a_prompt_starts_as_tokens_of_the_vocabulary_and_each_task_has_others(any_folder):
    method = make(any_folder)
    for stage in STAGES[:2]:
        method.begin(stage)
    table = method.embedding.weight
    one, two = method.prompts["one"].detach(), method.prompts["two"].detach()
    assert all((table == vector).all(1).any() for vector in [*one, *two])
    assert not torch.equal(one, two)


def test_the_network_is_added_to_the_prompt_and_folded_into_it(any_folder):
    method = make(any_folder, reparameterise=True, bottleneck=16)
    method.begin(STAGES[0])
    prompt, network = method.prompts["one"], method.network
    [group] = method.parameters()
    moved = [weight.detach().clone() for weight in group.parameters]
    assert len(moved) == 1 + 6  # two weights with biases, and those of the norm
    train(method, STAGES[0])
    assert all(not torch.equal(a, b) for a, b in zip(moved, group.parameters, strict=True))
    hidden = (prompt @ network["0.weight"].T + network["0.bias"]).clamp(min=0)
    out = hidden @ network["2.weight"].T + network["2.bias"]
    centred = out - out.mean(1, keepdim=True)
    scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    expected = prompt + scaled * network["3.weight"] + network["3.bias"]
    before = answers(method, STAGES[0])
    method.end(STAGES[0])
    assert method.network == {}
    torch.testing.assert_close(method.prompts["one"], expected.detach(), rtol=1e-4, atol=1e-5)
    assert torch.equal(answers(method, STAGES[0]), before)
    assert method.stored_parameters() == LENGTH * 48
    assert set(method.state().tensors) == {"prompts/one"}


def test_the_network_has_800_units_unless_told(llama_folder):
    method = make(llama_folder, reparameterise=True)
    method.begin(STAGES[0])
    assert [w.shape[0] for w in method.parameters()[0].parameters][1] == 800
