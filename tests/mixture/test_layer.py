"""The adapted layer inside autograd, as training loops and models use it."""

import math

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from amlora.mixture.layer import LEVELS, Control, MixtureLinear, dropout
from mixture.cases import COMBINES, Quantised, gradients, kept_bytes, random_layer, specified


def an_input(*shape, dtype=torch.float64, seed=1, width=6):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, width, generator=generator, dtype=torch.float64)
    return values.to(dtype).requires_grad_()


def leaves(layer):
    """Copies of a, b and w that want gradients, for the specification."""
    return [stack.detach().clone().requires_grad_() for stack in layer.bank.stacks()]


def tail_gradients(layer, grads):
    """The ends of full gradients that belong to the layer's trained tails."""
    pairs = zip(layer.bank.tails(), grads, strict=True)
    return [grad[len(grad) - len(tail) :] for tail, grad in pairs]


@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("trained", ["all", "new", "none"])
@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("ranks", [[3], [2, 2, 2], [1, 4, 2]], ids=str)
def test_answers_and_gradients_are_the_references(ranks, combine, trained, bias):
    layer = random_layer(ranks, bias=bias, trained=trained, control=Control(combine=combine))
    for shape in ((7,), (3, 5)):
        x, stacks = an_input(*shape), leaves(layer)
        ours, spec = layer(x), specified(layer, x, stacks)[0]
        torch.testing.assert_close(ours, spec)
        d_x, *rest = gradients(spec, [x, *stacks])
        expected = [d_x, *tail_gradients(layer, rest)]
        tails = [tail.requires_grad_() for tail in layer.bank.tails()]
        torch.testing.assert_close(gradients(ours, [x, *tails]), expected)
    assert (layer.bank.w_tail is None) == (trained == "none")


def test_without_loras_the_layer_is_the_frozen_one():
    layer = random_layer([], trained=None, bias=True)
    x = an_input(4)
    assert torch.equal(layer(x), layer.base(x))
    assert layer.weight is layer.base.weight and layer.bias is layer.base.bias


def test_used_twice_in_one_graph():
    layer = random_layer([2, 2], d_out=6)
    x, stacks = an_input(4), leaves(layer)
    ours = layer(layer(x).tanh())
    inner = specified(layer, x, stacks)[0].tanh()
    spec = specified(layer, inner, stacks)[0]
    torch.testing.assert_close(ours, spec)
    d_x, *rest = gradients(spec, [x, *stacks])
    expected = [d_x, *tail_gradients(layer, rest)]
    torch.testing.assert_close(gradients(ours, [x, *layer.bank.tails()]), expected)


def test_two_backwards_accumulate():
    layer = random_layer([2, 2])
    for seed in (1, 2):
        layer(an_input(4, seed=seed)).sum().backward()
    summed = [tail.grad for tail in layer.bank.tails()]
    layer.zero_grad()
    both = torch.cat([an_input(4, seed=1), an_input(4, seed=2)])
    layer(both).sum().backward()
    torch.testing.assert_close(summed, [tail.grad for tail in layer.bank.tails()])


def test_activation_checkpointing_changes_no_bit_and_keeps_the_input_alone():
    layer = random_layer([2, 3], control=Control(dropout=0.5))
    x = an_input(4)
    found = []
    for run in (layer, lambda x: checkpoint(layer, x, use_reentrant=False)):
        torch.manual_seed(3)
        out = run(x)
        found.append([out, *gradients(out, [x, *layer.bank.tails()])])
    assert all(torch.equal(plain, again) for plain, again in zip(*found, strict=True))
    assert kept_bytes(lambda: checkpoint(layer, x, use_reentrant=False), layer) <= x.nbytes
    assert kept_bytes(lambda: layer(x), layer) > x.nbytes


def test_autocast_answers_in_bfloat16_and_trains_in_float32():
    layer = random_layer([4, 4], dtype=torch.float32)
    x = an_input(4, dtype=torch.float32)
    plain = layer(x)
    plain_grads = gradients(plain, [x, *layer.bank.tails()])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    grads = gradients(out, [x, *layer.bank.tails()])
    assert out.dtype == torch.bfloat16
    assert {grad.dtype for grad in grads} == {torch.float32}
    for ours, true in zip([out, *grads], [plain, *plain_grads], strict=True):
        assert (ours.float() - true).norm() < 0.03 * true.norm()


def test_inference_mode_gives_the_same_bits():
    layer = random_layer([2, 3])
    x = an_input(2, 3)
    with torch.inference_mode():
        assert torch.equal(layer(x.detach()), layer(x))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("gain", [False, True])
@pytest.mark.parametrize(("ranks", "newest"), [([2, 2, 2], 2), ([2, 2], 3), ([1, 3], 3), ([], 2)])
def test_a_newcomer_that_is_shut_out_changes_no_bit(ranks, newest, gain, dtype):
    layer = random_layer(ranks, trained=None, control=Control(gain=gain), dtype=dtype)
    x = an_input(5, dtype=dtype)
    before = layer(x)
    layer.bank.grow(newest, 4.0, "uniform", torch.Generator().manual_seed(0))
    layer.control.newcomer = -math.inf
    layer.bank.train_newest("all")
    assert torch.equal(layer(x), before)
    layer.control.newcomer = 0.0
    assert torch.equal(layer(x), before) == (not ranks)


@pytest.mark.parametrize("ranks", [[2, 2, 2], [2, 3]], ids=str)
@pytest.mark.parametrize("trained", ["all", "new", "none"])
def test_a_newcomer_that_is_shut_out_gets_no_gradient_and_the_others_keep_theirs(ranks, trained):
    control = Control(newcomer=-math.inf)
    layer = random_layer(ranks, trained=trained, control=control)
    x, stacks = an_input(4), leaves(layer)
    ours, spec = layer(x), specified(layer, x, stacks)[0]
    torch.testing.assert_close(ours, spec)
    d_x, *rest = gradients(spec, [x, *stacks])
    expected = [d_x, *tail_gradients(layer, rest)]
    assert not expected[2].any()
    tails = [tail.requires_grad_() for tail in layer.bank.tails()]
    torch.testing.assert_close(gradients(ours, [x, *tails]), expected)


def test_the_newcomers_offset_is_for_attention_alone():
    layer = random_layer([2, 2], control=Control(combine="mean"))
    x = an_input(4)
    before = layer(x)
    layer.control.newcomer = -math.inf
    assert torch.equal(layer(x), before)


@pytest.mark.parametrize("newcomer", [0.0, -0.1, -3.0, -math.inf])
def test_gain_makes_uniform_scores_the_plain_sum_also_while_a_newcomer_is_let_in(newcomer):
    layer = random_layer([2, 3, 2], control=Control(gain=True, newcomer=newcomer), trained=None)
    layer.bank.w.zero_()
    if newcomer:
        layer.bank.b[-2:].zero_()
    x = an_input(4)
    entering = layer(x)
    layer.control.combine, layer.control.gain = "sum", False
    torch.testing.assert_close(entering, layer(x))


def test_dropout_is_one_mask_on_the_input_of_all_loras_and_for_training_alone():
    layer = random_layer([2, 3], control=Control(dropout=0.5))
    x = an_input(4)
    torch.manual_seed(5)
    out = layer(x)
    torch.manual_seed(5)
    dropped = dropout(x, 0.5, training=True)
    mixed = specified(layer, dropped, layer.bank.stacks())[0] - layer.base(dropped)
    torch.testing.assert_close(out, layer.base(x) + mixed)
    layer.eval()
    torch.testing.assert_close(layer(x), specified(layer, x, layer.bank.stacks())[0])


def test_a_frozen_layer_that_is_no_linear_is_called_and_passes_gradients_on():
    layer = MixtureLinear("q", Quantised(6, 5), 6, 5, Control())
    layer.bank.extend(torch.randn(2, 6), torch.randn(2, 5), torch.randn(5), 4.0)
    layer.bank.train_newest("all")
    x, stacks = an_input(4, dtype=torch.float32), leaves(layer)
    ours, spec = layer(x), specified(layer, x, stacks)[0]
    torch.testing.assert_close(ours, spec)
    torch.testing.assert_close(
        gradients(ours, [x, *layer.bank.tails()]), gradients(spec, [x, *stacks])
    )


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(257, 801), (3, 5, 13333)])
def test_the_stated_share_is_dropped_and_the_mean_stays(rate, shape):
    torch.manual_seed(0)
    out = dropout(torch.ones(shape, dtype=torch.float64), rate, training=True)
    count = out.numel()
    sd = (rate * (1 - rate) / count) ** 0.5
    assert abs((out == 0).double().mean() - rate) < 5 * sd
    assert abs(out.mean() - 1) < 5 * sd / (1 - rate)
    kept = out[out != 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - round(rate * LEVELS) / LEVELS)))


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    kept = (dropout(torch.ones(400_000), 0.5, training=True) != 0).double() - 0.5
    for lag in (1, 2, 3, 4, 8):
        assert abs((kept[lag:] * kept[:-lag]).mean() * 4) < 0.01


def test_a_seed_decides_the_mask_gradients_pass_where_values_do_and_else_nothing_is_dropped():
    x, found = torch.randn(50, 50, requires_grad=True), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(dropout(x, 0.25, training=True))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    found[0].sum().backward()
    assert x.grad is not None and torch.equal(x.grad != 0, found[0] != 0)
    assert dropout(x, 0.5, training=False) is dropout(x, 0.0, training=True) is x
