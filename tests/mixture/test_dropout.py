"""Dropout keeps the mean, drops the stated share, and follows torch's seed."""

import pytest
import torch

from amlora.mixture.layer import LEVELS, dropout


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


def test_nothing_is_dropped_outside_training_or_at_rate_zero():
    x = torch.randn(7)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x


def test_a_seed_decides_the_mask():
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(dropout(torch.ones(999), 0.5, training=True))
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    kept = (dropout(torch.ones(400_000), 0.5, training=True) != 0).double() - 0.5
    for lag in (1, 2, 3, 4, 8):
        assert abs((kept[lag:] * kept[:-lag]).mean() * 4) < 0.01


def test_gradients_pass_where_values_do():
    x = torch.randn(50, 50, requires_grad=True)
    out = dropout(x, 0.25, training=True)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad != 0, out != 0)
