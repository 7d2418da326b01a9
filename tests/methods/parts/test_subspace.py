"""Second moments are those of every token; a subspace keeps the directions that they use most."""

import pytest
import torch
from torch import Tensor

from amlora.engine.batch import collate
from amlora.engine.encode import Row
from amlora.engine.padding import Padding
from amlora.methods.parts.subspace import Moments, extended, leading, once_an_input, second_moments
from methods.learning import inputs_of
from trained import trained

ROWS = [
    Row("t", str(i), (1, *range(50, 53 + 2 * i)), (90, *[91] * (i % 3), 2), "x") for i in range(11)
]


def test_they_are_a_literal_sum_over_rows_read_one_at_a_time(any_folder):
    backbone, mixture = trained(any_folder)
    expected = inputs_of(backbone, mixture, ROWS)
    found = second_moments(backbone, mixture.layers, ROWS)
    assert found.keys() == mixture.layers.keys()
    for name, x in expected.items():
        torch.testing.assert_close(found[name], x.T @ x / len(x), rtol=1e-4, atol=1e-4)


def test_layers_that_read_one_tensor_have_one_result_bit_for_bit_that_of_each_alone(any_folder):
    backbone, mixture = trained(any_folder)
    found = second_moments(backbone, mixture.layers, ROWS)
    for name, layer in mixture.layers.items():
        (one,) = second_moments(backbone, {name: layer}, ROWS).values()
        assert torch.equal(found[name], one)
    groups: dict[int, set[str]] = {}
    for name, moments in found.items():
        groups.setdefault(id(moments), set()).add(name)
    if backbone.family == "decoder-only":  # query and value of each block
        assert sorted(map(len, groups.values())) == [2, 2]
        return
    # All values of cross-attention read what the encoder says; their queries read the decoder.
    crossing = {name for name in found if "EncDecAttention" in name}
    values = {name for name in crossing if name.endswith(".v")}
    assert values in groups.values() and len(values) == 2
    assert all({name} in groups.values() for name in crossing - values)
    assert sorted(map(len, groups.values())) == [1, 1, 2, 2, 2, 2, 2]


def test_inputs_that_part_ways_after_a_shared_one_are_told_apart(llama_folder):
    backbone, mixture = trained(llama_folder)
    (first, one), (second, other), *_ = mixture.layers.items()
    generator = torch.Generator().manual_seed(0)
    shared, left, right = (torch.randn(2, 3, 48, generator=generator) for _ in range(3))
    given = ((shared, shared), (left, right), (shared, shared))
    moments = Moments(mixture.layers, Padding(backbone))
    rows = [Row("t", str(i), (1, 50, 51), (90,), "x") for i in range(2)]
    for a, b in given:
        moments.begin(collate(rows, backbone, share=1.0))
        moments.add(one, (a,))
        moments.add(other, (b,))
    means = moments.means()
    for name, inputs in zip((first, second), zip(*given, strict=True), strict=True):
        x = torch.cat(inputs).reshape(-1, 48).double()
        torch.testing.assert_close(means[name], x.T @ x / len(x))
    assert not torch.equal(means[first], means[second])


def test_the_model_is_left_as_it_was(any_folder):
    backbone, mixture = trained(any_folder)
    mixture.control.dropout = 0.5
    before = second_moments(backbone, mixture.layers, ROWS)
    backbone.model.train()
    again = second_moments(backbone, mixture.layers, ROWS)
    assert backbone.model.training
    assert all(torch.equal(moments, again[name]) for name, moments in before.items())
    assert not any(layer._forward_pre_hooks for layer in mixture.layers.values())


WIDTH = 6


def inputs(count: int, *, seed: int = 0) -> Tensor:
    """Return (D, T) inputs whose directions differ in how much they are used."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(WIDTH, count, generator=generator, dtype=torch.float64)
    return torch.linspace(1, 6, WIDTH, dtype=torch.float64)[:, None] * drawn


def nothing() -> Tensor:
    return torch.zeros(WIDTH, 0)


def test_without_a_subspace_they_are_the_left_singular_vectors():
    h = inputs(20)
    left, values, _ = torch.linalg.svd(h, full_matrices=False)
    found, parts = leading(h @ h.T, nothing())
    torch.testing.assert_close((found * left).sum(0).abs(), torch.ones(WIDTH).double())
    torch.testing.assert_close(parts, values.square())


def test_outside_a_subspace_they_are_those_of_what_is_left_of_the_inputs():
    h, old = inputs(20), torch.linalg.qr(inputs(2, seed=1)).Q
    left, values, _ = torch.linalg.svd(h - old @ old.T @ h, full_matrices=False)
    found, parts = leading(h @ h.T, old)
    assert found.shape == (WIDTH, WIDTH - 2)
    torch.testing.assert_close((found * left[:, :4]).sum(0).abs(), torch.ones(4).double())
    torch.testing.assert_close(parts, values[:4].square())
    torch.testing.assert_close(old.T @ found, torch.zeros(2, 4).double())


def test_without_a_subspace_nothing_is_projected_and_not_one_bit_differs():
    h = inputs(20)
    moments = h @ h.T
    outside = torch.eye(WIDTH).double()
    values, vectors = torch.linalg.eigh(outside @ moments @ outside)
    found, parts = leading(moments, nothing())
    assert torch.equal(found, torch.linalg.qr(outside @ vectors.flip(1)).Q)
    assert torch.equal(parts, values.flip(0))


def test_layers_share_what_is_made_of_one_tensor_and_equal_subspaces_only():
    h = inputs(20)
    moments, same, old = h @ h.T, (h @ h.T).clone(), torch.linalg.qr(inputs(2, seed=1)).Q
    asked: list[Tensor] = []

    def made(given: Tensor, basis: Tensor) -> Tensor:
        asked.append(given)
        return extended(basis, given, 0.9)

    layers = {"q": moments, "v": moments, "later": moments, "other": same}
    bases = {"q": nothing(), "v": nothing(), "later": old, "other": nothing()}
    found = once_an_input(made, layers, bases)
    assert [given is moments for given in asked] == [True, True, False]
    assert found["v"] is found["q"]
    for name, basis in bases.items():
        assert torch.equal(found[name], extended(basis, layers[name], 0.9))


def test_directions_that_are_not_used_are_left_out():
    h = inputs(3)  # three inputs span three directions
    found, parts = leading(h @ h.T, nothing())
    assert found.shape == (WIDTH, 3) and len(parts) == 3
    assert leading(h @ h.T, found)[0].shape == (WIDTH, 0)
    assert leading(torch.zeros(WIDTH, WIDTH).double(), nothing())[0].shape == (WIDTH, 0)


def test_a_subspace_grows_by_hand():
    moments = torch.diag(torch.tensor([50.0, 30.0, 15.0, 5.0, 0.0, 0.0])).double()
    sizes = {0.3: 1, 0.5: 1, 0.51: 2, 0.8: 2, 0.95: 3, 0.951: 4, 1.0: 4}
    assert {share: extended(nothing(), moments, share).shape[1] for share in sizes} == sizes
    grown = extended(nothing(), moments, 0.8)
    torch.testing.assert_close(grown.abs(), torch.eye(WIDTH)[:, :2])
    # What the subspace holds already counts: 80 of 100.
    assert extended(grown, moments, 0.8) is not grown
    assert torch.equal(extended(grown, moments, 0.8), grown)
    wider = extended(grown, moments, 0.9)
    assert torch.equal(wider[:, :2], grown) and wider.shape[1] == 3


def test_a_share_of_the_moments_by_hand():
    """The squares of 50, 30, 15 and 5 are 2500, 900, 225 and 25 of 3650."""
    moments = torch.diag(torch.tensor([50.0, 30.0, 15.0, 5.0, 0.0, 0.0])).double()
    sizes = {0.68: 1, 0.69: 2, 0.93: 2, 0.94: 3, 0.993: 3, 0.994: 4, 1.0: 4}
    found = {share: extended(nothing(), moments, share, "moments").shape[1] for share in sizes}
    assert found == sizes


@pytest.mark.parametrize("share", [0.6, 0.9, 0.99, 0.9999])
def test_a_share_of_the_moments_grows_a_subspace_as_the_authors_loop_does(share):
    """Singular values of what is left of the matrix of moments, taken until the share is held."""
    h, old = inputs(20), torch.linalg.qr(inputs(1, seed=1)).Q
    moments = h @ h.T / 20
    total = torch.linalg.svdvals(moments).square().sum()
    left, values, _ = torch.linalg.svd(moments - old @ old.T @ moments)
    held, count = 1 - values.square().sum() / total, 0
    while held < share:
        held += values[count].square() / total
        count += 1
    wanted = torch.cat([old, left[:, :count]], 1)
    grown = extended(old, moments, share, "moments")
    assert grown.shape == wanted.shape
    torch.testing.assert_close(grown @ grown.T, wanted @ wanted.T)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_it_holds_the_share_and_one_direction_less_does_not(share):
    h, old = inputs(20), torch.linalg.qr(inputs(1, seed=1)).Q.float()
    grown = extended(old, h @ h.T, share)
    torch.testing.assert_close(grown.T @ grown, torch.eye(grown.shape[1]), rtol=0, atol=1e-6)
    total = h.square().sum()
    held = [(grown[:, :k].double().T @ h).square().sum() / total for k in range(grown.shape[1] + 1)]
    assert held[-1] >= share - 1e-6
    assert len(grown.T) == 1 or held[-2] < share
