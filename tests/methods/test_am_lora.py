"""AM-LoRA's settings do what they say."""

import math

import pytest
import torch

from amlora.methods.am_lora import AMLoRA, AMLoRASettings
from methods import learning
from methods.learning import STAGES, answers, learn, train
from trained import load_base


def make(folder, **options) -> AMLoRA:
    return AMLoRA(load_base(folder), AMLoRASettings(**options), seed=0)


def selectors(method: AMLoRA) -> torch.Tensor:
    return torch.cat([layer.bank.w.flatten() for layer in method.mixture.layers.values()])


def test_the_l1_term_is_lambda_times_the_absolute_sum(llama_folder):
    method = make(llama_folder, sparsity=0.25)
    method.begin(STAGES[0])
    method.before_step(STAGES[0], 0)
    expected = 0.25 * selectors(method).abs().sum()
    torch.testing.assert_close(method.penalty()["sparsity"], expected)


def test_the_proximal_form_makes_weights_exactly_zero(llama_folder):
    method = make(llama_folder, sparsity=2.0, sparsity_form="proximal")
    assert "sparsity" not in learn(method, STAGES[0])
    assert (selectors(method) == 0).float().mean() > 0.5
    in_the_loss = make(llama_folder, sparsity=2.0)
    learn(in_the_loss, STAGES[0])
    assert (selectors(in_the_loss) == 0).float().mean() < 0.01


def test_a_ramped_newcomer_is_shut_out_at_first_and_let_in_half_way(llama_folder):
    method = make(llama_folder, newcomer="ramp")
    method.begin(STAGES[0])
    control = method.mixture.control
    assert control.newcomer == -math.inf
    offsets = []
    for step in range(4):
        method.before_step(STAGES[0], step)
        offsets.append(math.exp(control.newcomer))
    assert offsets == pytest.approx([0.5, 1, 1, 1])
    method.end(STAGES[0])
    assert control.newcomer == 0


def test_a_closed_newcomer_leaves_old_answers_unchanged_until_it_is_trained(llama_folder):
    for newcomer, same in (("ramp", True), ("paper", False)):
        method = make(llama_folder, newcomer=newcomer)
        learn(method, STAGES[0])
        before = answers(method, STAGES[0])
        method.begin(STAGES[1])
        assert torch.allclose(before, answers(method, STAGES[0]), atol=1e-6) == same


def test_gain_makes_untrained_zero_selectors_a_plain_sum(llama_folder):
    ours = make(llama_folder, gain="loras", start="zeros", selectors="none", sparsity=0.0)
    plain = learning.make(llama_folder, "inc_lora")
    for method in (ours, plain):
        learn(method, STAGES[0])
    found, expected = (answers(method, STAGES[0]) for method in (ours, plain))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("selectors", "sparsity"), [("all", 0.1), ("new", 0.1), ("all", 0.0), ("new", 0.0)]
)
def test_the_four_rows_of_figure_5(any_folder, selectors, sparsity):
    method = make(any_folder, selectors=selectors, sparsity=sparsity)
    learn(method, STAGES[0])
    before = {n: layer.bank.w.clone() for n, layer in method.mixture.layers.items()}
    terms = learn(method, STAGES[1])
    assert list(terms) == (["task", "sparsity"] if sparsity else ["task"])
    after = {n: layer.bank.w for n, layer in method.mixture.layers.items()}
    moved = [not torch.equal(old[0], after[n][0]) for n, old in before.items()]
    assert all(moved) if selectors == "all" else not any(moved)
    new = torch.cat([w[1] for w in after.values()])
    assert new.abs().sum() > 0


def test_the_l1_terms_gradient_is_lambda_times_the_sign_of_each_trained_selector(any_folder):
    for selectors, trained in (("all", 2), ("new", 1)):
        method = make(any_folder, selectors=selectors, sparsity=0.25)
        for stage in STAGES[:2]:
            method.begin(stage)
        method.before_step(STAGES[1], 0)
        method.penalty()["sparsity"].backward()
        for layer in method.mixture.layers.values():
            tail = layer.bank.w_tail
            assert tail is not None and len(tail) == trained
            torch.testing.assert_close(tail.grad, 0.25 * layer.bank.w[-trained:].sign())
            assert all(lora.grad is None for lora in layer.bank.tails()[:2])


def test_selectors_that_do_not_learn_stay_bit_identical(any_folder):
    method = make(any_folder, selectors="none", sparsity=0.0)
    method.begin(STAGES[0])
    assert [group.name for group in method.parameters()] == ["lora"]
    before = selectors(method)
    assert before.abs().sum() > 0
    train(method, STAGES[0])
    assert torch.equal(selectors(method), before)


def test_the_soft_threshold_moves_each_selector_by_rate_times_lambda(llama_folder):
    method = make(llama_folder, sparsity=(0.5, 2.0), sparsity_form="proximal")
    method.begin(STAGES[0])
    before = selectors(method)
    method.before_step(STAGES[0], 0)
    method.after_step(STAGES[0], 0, {"lora": 9.0, "selector": 0.1})
    expected = before.sign() * (before.abs() - 0.05).clamp(min=0)
    torch.testing.assert_close(selectors(method), expected)
    assert method.penalty() == {}
