"""N-LoRA's term is the L1 norm of the newest LoRA's update, and it makes updates sparse."""

import pytest
import torch
from torch import Tensor

from amlora.errors import InputError
from amlora.methods.lora import LoRASettings
from amlora.methods.n_lora import NLoRA, NLoRASettings, inner_size, size
from methods.learning import STAGES, make, with_random_loras
from trained import load_base


def grown(folder, **options) -> NLoRA:
    """Return a method in its second stage, all LoRAs random, before the first step."""
    method = NLoRA(load_base(folder), NLoRASettings(**options), seed=0)
    with_random_loras(method, STAGES[:2])
    return method


def newest(method: NLoRA) -> list[tuple[Tensor, Tensor]]:
    """Return A (R, D_in) and B (R, D_out) of the newest LoRA, layer by layer, in float64."""
    banks = [layer.bank for layer in method.mixture.layers.values()]
    rows = [bank.rows(len(bank) - 1) for bank in banks]
    return [(bank.a[r].double(), bank.b[r].double()) for bank, r in zip(banks, rows, strict=True)]


def test_the_term_is_a_literal_sum_over_the_weights_that_the_newest_lora_changes(any_folder):
    method = grown(any_folder, strength=0.25)
    expected = 0.0
    for a, b in newest(method):
        expected += sum(float((b[:, i] @ a).abs().sum()) for i in range(b.shape[1]))
    found = method.penalty()
    assert list(found) == ["sparsity"]
    assert found["sparsity"].item() == pytest.approx(0.25 * expected, rel=1e-5)


def test_the_authors_term_of_a_small_product_by_hand():
    a = torch.tensor([[1.0, -2.0], [0.0, 1.0]])
    b = torch.tensor([[1.0, 0.0], [3.0, -1.0]])
    # A B = [[1, 5], [0, -1]]; B A = [[1, 1], [0, -1]]
    assert inner_size(a, b).item() == 7
    assert size(a, b).item() == 3


def test_the_authors_term_is_a_literal_sum_over_pairs_of_a_row_and_a_column(any_folder):
    square = LoRASettings(targets=("*.o*",))
    method = grown(any_folder, strength=0.25, term="inner", lora=square)
    expected = sum(
        float((row @ column).abs()) for a, b in newest(method) for row in a for column in b
    )
    assert method.penalty()["sparsity"].item() == pytest.approx(0.25 * expected, rel=1e-5)


def test_the_authors_term_is_refused_where_it_is_not_defined(llama_folder):
    wanted = r'method.term: "inner" needs .*down_proj reads 96 numbers and writes 48; choose'
    with pytest.raises(InputError, match=wanted):
        make(llama_folder, "n_lora", term="inner", lora=LoRASettings(targets=("down_proj",)))


def test_the_gradients_are_those_of_the_plain_formula():
    torch.manual_seed(0)
    a, b = (torch.randn(3, width, dtype=torch.float64, requires_grad=True) for width in (5, 4))
    ours = torch.autograd.grad(3 * size(a, b), (a, b))
    plain = torch.autograd.grad(3 * (b.T @ a).abs().sum(), (a, b))
    torch.testing.assert_close(ours, plain)


def test_the_terms_gradient_reaches_the_newest_lora_alone(any_folder):
    method = grown(any_folder)
    method.penalty()["sparsity"].backward()
    reached = {n for n, w in method.backbone.model.named_parameters() if w.grad is not None}
    assert len(reached) == 2 * len(method.mixture.layers)
    assert all(name.endswith(("a_tail", "b_tail")) for name in reached)
