"""Second moments are those of every token of every row, whatever the padding."""

import torch
from torch import Tensor, nn

from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import Row
from amlora.methods.parts.moments import second_moments
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


def test_the_model_is_left_as_it_was(any_folder):
    backbone, mixture = trained(any_folder)
    mixture.control.dropout = 0.5
    before = second_moments(backbone, mixture.layers, ROWS)
    backbone.model.train()
    again = second_moments(backbone, mixture.layers, ROWS)
    assert backbone.model.training
    assert all(torch.equal(moments, again[name]) for name, moments in before.items())
    assert not any(layer._forward_pre_hooks for layer in mixture.layers.values())
