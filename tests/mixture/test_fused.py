"""The fast form gives the specification's values and gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from amlora.mixture import fused, reference
from amlora.mixture.fused import LoRAs
from mixture.cases import COMBINES, Inputs, common, gradients, kept_bytes, random_inputs

EQUAL = [[2], [8] * 4, [3] * 15, [1] * 64]
DIFFERING = [[1, 2], [4, 1, 3, 1], [5, 2, 7] * 5]

small_ranks = st.lists(st.integers(1, 4), min_size=1, max_size=5)
seeds = st.integers(0, 2**20)
some = settings(max_examples=25, deadline=None, derandomize=True)


def assert_agrees(ranks, *, rank, shape=(7,), **options):
    inputs = random_inputs(ranks, shape=shape, d_in=9, d_out=7)
    ours, scores = fused.mix(*inputs, rank=rank, **options)
    spec, spec_scores = reference.mix(*inputs, **options)
    torch.testing.assert_close(ours, spec)
    if scores.numel():
        torch.testing.assert_close(scores, spec_scores.flatten(0, -2))
    wanted = inputs[:4]
    torch.testing.assert_close(gradients(ours, wanted), gradients(spec, wanted))


@pytest.mark.parametrize("shape", [(7,), (3, 5), (1,)], ids=str)
@pytest.mark.parametrize("ranks", [*EQUAL, *DIFFERING], ids=lambda ranks: f"N{len(ranks)}")
def test_agrees_with_reference_and_its_gradients(ranks, shape):
    assert_agrees(ranks, rank=common(ranks), shape=shape)
    if common(ranks):  # it needs no word that ranks are equal
        assert_agrees(ranks, rank=0, shape=shape)


@pytest.mark.parametrize("newcomer", [0.0, -1.5, -math.inf])
@pytest.mark.parametrize("gain", [1.0, 3.5])
@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("ranks", [[3], [2, 2, 2], [4, 1, 3]], ids=str)
def test_agrees_for_every_setting(ranks, combine, gain, newcomer):
    assert_agrees(ranks, rank=common(ranks), combine=combine, gain=gain, newcomer=newcomer)


@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("ranks", [[2, 2], [1, 3]], ids=str)
def test_gradients_equal_differences_of_values(ranks, combine):
    inputs = random_inputs(ranks, shape=(3,), d_in=4, d_out=3)
    options = {"combine": combine, "gain": 1.5, "newcomer": -0.3, "rank": common(ranks)}

    def output(x, a, b, w):
        return fused.mix(x, a, b, w, inputs.spread, **options)[0]

    assert torch.autograd.gradcheck(output, inputs[:4])


def test_an_input_whose_memory_is_not_in_order():
    inputs = random_inputs([2, 2], shape=(4, 3))
    turned = inputs.x.detach().transpose(0, 1).requires_grad_()
    ours, spec = fused.mix(turned, *inputs[1:]), reference.mix(turned, *inputs[1:])
    torch.testing.assert_close(ours[0], spec[0])
    torch.testing.assert_close(gradients(ours[0], [turned]), gradients(spec[0], [turned]))


def test_no_tokens_give_no_output_and_zero_gradients():
    inputs = random_inputs([2, 2], shape=(0,))
    out, scores = fused.mix(*inputs, rank=2)
    assert out.shape == (0, 5)
    assert scores.shape == (0, 3)
    assert all(not grad.any() for grad in gradients(out, inputs[1:4]))


@pytest.mark.parametrize("ranks", [[8] * 15, [8, 4, 2, 16]], ids=str)
def test_bfloat16_is_within_two_percent_of_exact(ranks):
    """bfloat16 keeps 8 bits: a rounding is up to 0.4 %, and a handful of them follow each other."""
    inputs = random_inputs(ranks, shape=(33,), d_in=40, d_out=24, dtype=torch.bfloat16)
    with torch.no_grad():
        for stack in inputs[1:3]:
            stack.mul_(0.2)
    exact = Inputs(*(tensor.detach().double().requires_grad_() for tensor in inputs))
    ours, scores = fused.mix(*inputs, rank=common(ranks))
    spec, spec_scores = reference.mix(*exact)
    pairs = [(ours, spec), (scores, spec_scores)]
    pairs += zip(gradients(ours, inputs[:4]), gradients(spec, exact[:4]), strict=True)
    assert ours.dtype == torch.bfloat16
    for our, true in pairs:
        assert (our.double() - true).norm() < 0.02 * true.norm()


def test_selectors_in_float32_serve_an_input_in_bfloat16():
    wide = random_inputs([4, 4], dtype=torch.float32)
    x = wide.x.detach().bfloat16().requires_grad_()
    out, scores = fused.mix(x, *wide[1:], rank=4)
    spec, spec_scores = reference.mix(x.detach().float(), *wide[1:])
    grads = gradients(out, [x, *wide[1:4]])
    assert (out.dtype, scores.dtype) == (torch.bfloat16, torch.float32)
    assert [grad.dtype for grad in grads] == [torch.bfloat16, *[torch.float32] * 3]
    assert (out.float() - spec).norm() < 0.02 * spec.norm()
    assert (scores - spec_scores).abs().max() < 0.05


@pytest.mark.parametrize("trained", [(2, 3), (2, 1), (2, 0), (0, 0), (6, 3)], ids=str)
@pytest.mark.parametrize("ranks", [[2, 2, 2], [1, 3, 2]], ids=str)
def test_tails_get_the_references_slice_of_the_gradient(ranks, trained):
    inputs = random_inputs(ranks)
    spec = reference.mix(*inputs)[0]
    d_x, d_a, d_b, d_w = gradients(spec, inputs[:4])
    rows, selectors = trained
    a, b, w = (stack.detach() for stack in inputs[1:4])
    tails = a[6 - rows :], b[6 - rows :], w[3 - selectors :]
    for tail in tails:
        tail.requires_grad_()
    base = torch.zeros(7, 5, dtype=torch.float64)
    loras = LoRAs((a, b, w), inputs.spread, tails, common(ranks))
    ours, _ = fused.add(base, inputs.x, loras, combine="attention")
    expected = [d_x, d_a[6 - rows :], d_b[6 - rows :], d_w[3 - selectors :]]
    torch.testing.assert_close(gradients(ours, [inputs.x, *tails]), expected)


def test_the_gradient_reaches_the_frozen_layers_output_unchanged():
    inputs = random_inputs([2])
    base = torch.ones(7, 5, dtype=torch.float64, requires_grad=True)
    stacks = inputs[1:4]
    loras = LoRAs(stacks, inputs.spread, stacks, 2)
    out, _ = fused.add(base, inputs.x, loras, combine="attention")
    torch.testing.assert_close(out, 1 + fused.mix(*inputs)[0])
    weights = torch.linspace(-1, 2, 35, dtype=torch.float64).view(7, 5)
    assert torch.equal(gradients(out, [base])[0], weights)


def test_a_step_between_forward_and_backward_or_a_second_derivative_is_an_error():
    inputs = random_inputs([2])
    out, _ = fused.mix(*inputs)
    (grad,) = torch.autograd.grad(fused.mix(*inputs)[0].square().sum(), inputs.b, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
    with torch.no_grad():
        inputs.b.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


class OneLoRA(nn.Module):
    """A plain LoRA with as many rows as all of the mixture's."""

    def __init__(self, width, rows):
        super().__init__()
        self.a = nn.Linear(width, rows, bias=False)
        self.b = nn.Linear(rows, width, bias=False)

    def forward(self, x):
        return 2.0 * self.b(self.a(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("combine", COMBINES)
def test_keeps_at_most_a_fifth_more_for_backward_than_one_lora_of_the_same_rows(dtype, combine):
    inputs = random_inputs([8] * 15, shape=(64,), d_in=256, d_out=256, dtype=dtype)
    own = nn.ParameterList([*inputs[1:4]])
    own.register_buffer("spread", inputs.spread)
    ours = kept_bytes(lambda: fused.mix(*inputs, combine=combine, rank=8)[0], own)
    lora = OneLoRA(256, 120).to(dtype)
    plain = kept_bytes(lambda: lora(inputs.x), lora)
    assert plain == 64 * (256 + 120) * dtype.itemsize
    assert plain <= ours <= 1.2 * plain


@some
@given(ranks=small_ranks, seed=seeds, data=st.data())
def test_permuting_the_loras_permutes_the_scores_and_keeps_the_output(ranks, seed, data):
    x, a, b, w, spread = random_inputs(ranks, seed=seed)
    order = data.draw(st.permutations(range(len(ranks))))
    starts = [sum(ranks[:index]) for index in range(len(ranks))]
    rows = [starts[index] + row for index in order for row in range(ranks[index])]
    out, scores = fused.mix(x, a, b, w, spread, rank=common(ranks))
    shuffled = x, a[rows], b[rows], w[order], spread[order][:, rows]
    other, other_scores = fused.mix(*shuffled, rank=common(ranks))
    torch.testing.assert_close(other, out)
    torch.testing.assert_close(other_scores, scores[:, [0, *(index + 1 for index in order)]])


@some
@given(ranks=small_ranks, seed=seeds)
def test_scores_sum_to_one_and_selectors_of_zero_give_every_lora_the_same(ranks, seed):
    x, a, b, w, spread = random_inputs(ranks, seed=seed)
    _, scores = fused.mix(x, a, b, w, spread, rank=common(ranks))
    torch.testing.assert_close(scores.sum(-1), torch.ones(7, dtype=torch.float64))
    assert scores.min() >= 0
    _, scores = fused.mix(x, a, b, torch.zeros_like(w), spread, rank=common(ranks))
    torch.testing.assert_close(scores, torch.full_like(scores, 1 / (len(ranks) + 1)))


@some
@given(ranks=small_ranks, seed=seeds, dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_up_projections_of_zero_give_exactly_the_frozen_layers_output(ranks, seed, dtype):
    x, a, b, w, spread = random_inputs(ranks, seed=seed, dtype=dtype)
    base = random_inputs([1], seed=seed + 1, d_in=5, dtype=dtype).x
    stacks = a, torch.zeros_like(b), w
    loras = LoRAs(stacks, spread, stacks, common(ranks))
    assert torch.equal(fused.add(base, x, loras, combine="attention", gain=2.0)[0], base)
