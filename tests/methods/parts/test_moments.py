"""Second moments are those of every token of every row, whatever the padding."""

import torch
from torch import Tensor, nn

from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import Row
from amlora.engine.padding import Padding
from amlora.methods.parts.moments import Moments, second_moments
from amlora.mixture.layer import MixtureLinear
from trained import trained

ROWS = [
    Row("t", str(i), (1, *range(50, 53 + 2 * i)), (90, *[91] * (i % 3), 2), "x") for i in range(11)
]


def test_they_are_a_literal_sum_over_rows_read_one_at_a_time(any_folder):
    backbone, mixture = trained(any_folder)
    seen: dict[str, list[Tensor]] = {name: [] for name in mixture.layers}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, MixtureLinear)
        seen[module.name].append(inputs[0][0].double())

    for layer in mixture.layers.values():
        layer.register_forward_pre_hook(keep)
    with torch.no_grad():
        for row in ROWS:
            target_logits(backbone, collate([row], backbone, share=1.0))
    expected = {name: torch.cat(inputs) for name, inputs in seen.items()}
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
