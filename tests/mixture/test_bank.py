"""The bank: growing, what is trained, and tails that stay the stacks' own memory."""

import copy
import math

import pytest
import torch
from torch import Tensor

from amlora.mixture.bank import Bank, Start
from mixture.cases import random_layer


def grown(ranks=(2, 3, 2), *, start: Start = "uniform", d_in=6, d_out=5):
    bank = Bank(d_in, d_out, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    for index, rank in enumerate(ranks):
        bank.grow(rank, 4.0 + index, start, generator)
    return bank


def tail_pairs(bank) -> list[tuple[Tensor, Tensor]]:
    """Each trained tail beside the end of its stack."""
    pairs = zip(bank.tails(), bank.stacks(), strict=True)
    return [(tail, stack[len(stack) - len(tail) :]) for tail, stack in pairs]


def assert_shared(bank):
    for tail, end in tail_pairs(bank):
        assert tail.data_ptr() == end.data_ptr()
        assert torch.equal(tail, end)


def test_growing_stacks_rows_of_any_rank_and_spread_holds_their_scales():
    bank = grown((2, 3))
    assert (bank.a.shape, bank.b.shape, bank.w.shape) == ((5, 6), (5, 5), (2, 5))
    assert (len(bank), bank.rows(1)) == (2, slice(2, 5))
    third = 5 / 3
    expected = torch.tensor([[2.0, 2, 0, 0, 0], [0, 0, third, third, third]])
    assert torch.equal(bank.spread, expected)
    bank.bfloat16().float()  # a way through bfloat16 does not round the scales
    assert torch.equal(bank.spread, expected)


def test_a_new_lora_is_zero_and_small_uniform():
    bank = grown((400,), d_in=25, d_out=100)
    assert not bank.b.any()
    assert 0.19 < bank.a.abs().max() <= 1 / math.sqrt(25)
    assert 0.08 < bank.w.abs().max() <= 1 / math.sqrt(100)
    assert not grown(start="zeros").w.any()


def test_given_stacks_are_copied():
    bank, a = grown((2,)), torch.ones(2, 6)
    bank.set([2], [4.0], (a, torch.ones(2, 5), torch.ones(1, 5)))
    a.zero_()
    assert bank.a.all()


@pytest.mark.parametrize(("selectors", "rows"), [("all", 3), ("new", 1), ("none", 0)])
def test_the_newest_lora_and_the_chosen_selectors_are_trained(selectors, rows):
    bank = grown((2, 3, 4))
    bank.train_newest(selectors)
    assert [len(tail) for tail in bank.tails()] == [4, 4, rows]
    assert sum(p.numel() for p in bank.parameters()) == 4 * 6 + 4 * 5 + rows * 5
    assert_shared(bank)


def test_a_second_choice_replaces_the_first_and_frozen_means_no_parameters():
    bank = grown()
    bank.train_newest("all")
    bank.train_newest("none")
    assert [name for name, _ in bank.named_parameters()] == ["a_tail", "b_tail"]
    bank.freeze()
    assert list(bank.parameters()) == list(copy.deepcopy(bank).parameters()) == []


def train(layer, parameters, steps=3):
    """Move every trained number of a layer, by the layer's own gradients."""
    optimiser = torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.1)
    for seed in range(steps):
        x = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed)).to(layer.weight)
        layer(x).square().sum().backward()
        optimiser.step()
        optimiser.zero_grad()


@pytest.mark.parametrize("selectors", ["all", "new", "none"])
def test_training_writes_into_the_stacks_and_keeps_frozen_bits(selectors):
    layer = random_layer([2, 3, 2], trained=selectors)
    bank = layer.bank
    before = [stack.clone() for stack in bank.stacks()]
    train(layer, bank.parameters())
    for tail, old, new in zip(bank.tails(), before, bank.stacks(), strict=True):
        frozen = len(old) - len(tail)
        assert torch.equal(new[:frozen], old[:frozen])
        assert (new[frozen:] != old[frozen:]).all()
    assert_shared(bank)


def test_an_optimiser_made_before_a_move_still_trains_the_stacks_whose_memory_tails_share():
    layer = random_layer([2, 2])
    parameters = list(layer.bank.parameters())
    before = [stack.clone() for stack in layer.bank.stacks()]
    for kind in (torch.bfloat16, torch.float32, torch.float64):
        assert_shared(layer.to(kind).bank)
    assert [id(p) for p in layer.bank.parameters()] == [id(p) for p in parameters]
    train(layer, parameters)
    for old, new in zip(before, layer.bank.stacks(), strict=True):
        assert (new != old).any()


def test_a_move_takes_the_gradients_along():
    layer = random_layer([2, 2])
    layer(torch.ones(3, 6, dtype=torch.float64)).sum().backward()
    tail = layer.bank.b_tail
    assert tail is not None and tail.grad is not None
    before = tail.grad.clone()
    layer.float()
    torch.testing.assert_close(tail.grad, before.float())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_a_deep_copy_is_the_same_in_every_bit_and_shares_memory_with_itself_alone(dtype):
    layer = random_layer([2, 3], trained="new", dtype=dtype)
    twin = copy.deepcopy(layer)
    assert_shared(twin.bank)
    state, other = layer.bank.state_dict(), twin.bank.state_dict()
    assert state.keys() == other.keys()
    assert all(torch.equal(state[key], other[key]) for key in state)
    assert (twin.bank.ranks, twin.bank.alphas) == (layer.bank.ranks, layer.bank.alphas)
    x = torch.ones(2, 6, dtype=dtype)
    assert torch.equal(twin(x), layer(x))
    before = [stack.clone() for stack in layer.bank.stacks()]
    train(twin, twin.bank.parameters())
    for old, kept, trained in zip(before, layer.bank.stacks(), twin.bank.stacks(), strict=True):
        assert torch.equal(kept, old)
        assert not torch.equal(trained, old)


def test_a_loaded_state_reaches_stacks_and_tails():
    bank, other = grown(), grown(start="zeros")
    bank.train_newest("all")
    other.train_newest("all")
    other.load_state_dict(bank.state_dict())
    assert_shared(other)
    assert torch.equal(other.w, bank.w)


def test_all_but_the_newest_are_the_bank_before_it_grew():
    old, new = grown((2, 2)), grown((2, 2, 3))
    new.train_newest("all")
    stacks, spread, tails, rank = new.part(0, 2)
    for before, after in zip(old.stacks(), stacks, strict=True):
        assert torch.equal(after, before)
    assert torch.equal(spread, old.spread)
    assert rank == 2
    assert [len(tail) for tail in tails] == [0, 0, 2]
    assert new.part(0, 3).rank == 0
