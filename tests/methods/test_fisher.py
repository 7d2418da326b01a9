"""The Fisher and the pull, against closed forms, per-row gradients by other means, and by hand."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row
from amlora.methods.ewc import Labels, add_fisher, pull
from amlora.mixture.layer import MixtureLinear
from trained import load_base, trained

TOKENS = 6


class NextToken(nn.Module):
    """Softmax regression: the next token's logits are a bias and a column for the token before."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.bias = nn.Parameter(torch.randn(TOKENS, generator=generator))
        self.columns = nn.Parameter(torch.randn(TOKENS, TOKENS, generator=generator))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool, logits_to_keep: int
    ) -> SimpleNamespace:
        logits = self.bias + self.columns[input_ids[:, -logits_to_keep:]]
        return SimpleNamespace(logits=logits)

    def chances(self, before: int) -> Tensor:
        return (self.bias + self.columns[before]).softmax(-1).detach()


@pytest.fixture
def regression(llama_folder) -> Backbone:
    model: Any = NextToken()
    return replace(load_base(llama_folder), model=model)


def fisher_of(
    backbone: Backbone, rows: list[Row], labels: Labels, weights: dict[str, nn.Parameter]
) -> dict[str, Tensor]:
    fisher = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    generator = torch.Generator().manual_seed(1)
    add_fisher(fisher, backbone, weights, rows, labels=labels, generator=generator)
    return fisher


def all_of(backbone: Backbone) -> dict[str, nn.Parameter]:
    return dict(backbone.model.named_parameters())


def row(prompt: list[int], answer: list[int]) -> Row:
    return Row("task", "0", tuple(prompt), tuple(answer), "x")


def one_hot(token: int) -> Tensor:
    return torch.eye(TOKENS)[token]


def test_true_labels_give_the_mean_of_squared_residuals(regression):
    rows = [row([4, 1], [2]), row([1], [0]), row([3], [2])]
    found = fisher_of(regression, rows, "true", all_of(regression))
    squares = [
        (one_hot(each.answer_ids[0]) - regression.model.chances(each.prompt_ids[-1])).square()
        for each in rows
    ]
    torch.testing.assert_close(found["bias"], torch.stack(squares).mean(0))
    expected = torch.zeros(TOKENS, TOKENS)
    expected[1] = (squares[0] + squares[1]) / 3
    expected[3] = squares[2] / 3
    torch.testing.assert_close(found["columns"], expected)


def test_sampled_labels_give_p_times_one_minus_p_in_expectation(regression):
    rows = [row([4, 1], [2]), row([1], [0]), row([3], [2])]
    found = fisher_of(regression, rows * 800, "sampled", all_of(regression))
    variances = [p * (1 - p) for p in (regression.model.chances(t) for t in (1, 1, 3))]
    # A squared residual is between 0 and 1, so five standard errors are at most 5 * 0.5 / 49.
    torch.testing.assert_close(found["bias"], torch.stack(variances).mean(0), atol=0.051, rtol=0.0)
    gold = fisher_of(regression, rows, "true", all_of(regression))
    assert (gold["bias"] - torch.stack(variances).mean(0)).abs().max() > 0.2


def test_sampled_tokens_follow_the_gold_ones_and_are_independent(regression):
    found = fisher_of(regression, [row([5], [3, 0])] * 2000, "sampled", all_of(regression))
    first, second = regression.model.chances(5), regression.model.chances(3)
    expected = first * (1 - first) + second * (1 - second)
    torch.testing.assert_close(found["bias"], expected, atol=0.08, rtol=0.0)


def test_true_labels_agree_with_per_row_gradients_of_torch_func(any_folder):
    backbone = load_base(any_folder)
    model = backbone.model
    prompts = torch.tensor([[7, 40, 60], [7, 41, 80], [9, 42, 60], [5, 43, 90]])
    answers = torch.tensor([[90, 2], [91, 2], [90, 1], [70, 1]])
    rows = [row(p, a) for p, a in zip(prompts.tolist(), answers.tolist(), strict=True)]

    def likelihood(weights: dict[str, Tensor], prompt: Tensor, answer: Tensor) -> Tensor:
        if backbone.family == "encoder-decoder":
            start = torch.tensor([backbone.start_id])
            before = torch.cat([start, answer[:-1]])[None]
            inputs = {"input_ids": prompt[None], "decoder_input_ids": before}
        else:
            inputs = {"input_ids": torch.cat([prompt, answer[:-1]])[None]}
        logits = functional_call(model, weights, (), inputs).logits[0, -len(answer) :]
        chances = logits.log_softmax(-1)
        return chances.gather(-1, answer[:, None]).sum()

    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    each = vmap(grad(likelihood), in_dims=(None, 0, 0))(weights, prompts, answers)
    expected = {name: gradient.square().mean(0) for name, gradient in each.items()}
    found = fisher_of(backbone, rows, "true", all_of(backbone))
    largest = max(tensor.max() for tensor in expected.values())
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6 * float(largest), rtol=1e-3)
    together = sum(gradient.mean(0).square().sum() for gradient in each.values())
    assert together < 0.8 * sum(tensor.sum() for tensor in found.values())


def test_it_leaves_gradients_mode_and_random_numbers_as_they_were(any_folder):
    backbone = load_base(any_folder)
    model = backbone.model.train()
    first, *others = model.parameters()
    first.grad = torch.ones_like(first)
    state = torch.get_rng_state()
    fisher_of(backbone, [row([7, 40], [90, 2])], "sampled", all_of(backbone))
    assert torch.equal(first.grad, torch.ones_like(first))
    assert all(weight.grad is None for weight in others)
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_is_off(llama_folder):
    backbone, mixture = trained(llama_folder, loras=1, combine="sum")
    mixture.control.dropout = 0.5
    mixture.train_newest("none")
    tails = {name: layer.bank.a_tail for name, layer in mixture.layers.items()}
    weights = {name: tail for name, tail in tails.items() if tail is not None}
    assert len(weights) == len(tails)
    rows = [row([7, 40, 60], [90, 2])]
    backbone.model.train()
    found = [fisher_of(backbone, rows, "true", weights) for _ in range(2)]
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())
    assert all(tensor.any() for tensor in found[0].values())
    layers = [module for module in backbone.model.modules() if isinstance(module, MixtureLinear)]
    assert layers and all(layer.training for layer in layers)


def test_it_is_computed_in_the_backbones_arithmetic(any_folder):
    backbone = load_base(any_folder)
    rows = [row([7, 40, 60], [90, 2])]
    exact = fisher_of(backbone, rows, "true", all_of(backbone))
    rounded = replace(backbone, precision=torch.bfloat16)
    found = fisher_of(rounded, rows, "true", all_of(rounded))
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    total, wanted = (sum(t.sum() for t in each.values()) for each in (found, exact))
    assert total != wanted
    assert float(total) == pytest.approx(float(wanted), rel=0.2)


def gradient(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def test_the_pull_and_its_gradient_by_hand():
    weights = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([[3.0]])}
    for weight in weights.values():
        weight.requires_grad_()
    anchor = {"a": torch.tensor([0.0, 4.0]), "b": torch.tensor([[3.5]])}
    fisher = {"a": torch.tensor([2.0, 0.5]), "b": torch.tensor([[8.0]])}
    value = pull(weights, anchor, fisher)
    assert value.item() == (2 * 1 + 0.5 * 4 + 8 * 0.25) / 2
    (3 * value).backward()
    assert torch.equal(gradient(weights["a"]), torch.tensor([6.0, -3.0]))
    assert torch.equal(gradient(weights["b"]), torch.tensor([[-12.0]]))
