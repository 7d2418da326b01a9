"""Arrow's prototypes, scores and sums: by hand, by decomposition, and as `peft` has them."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from amlora.mixture import arrow
from amlora.mixture.arrow import Arrow, prototypes, scores
from amlora.mixture.bank import Bank
from amlora.mixture.fused import LoRAs
from amlora.mixture.inject import remove
from mixture.cases import alone, random_inputs
from trained import load_base, logits, trained

RANKS = (4, 2, 3)


def stacked(a: Tensor, b: Tensor, spread: Tensor) -> LoRAs:
    """LoRAs of which Arrow reads neither selectors nor tails."""
    nothing = a[:0]
    return LoRAs((a, b, nothing), spread, (nothing, nothing, nothing))


def test_a_prototype_is_the_first_right_singular_vector_of_the_update():
    _, a, b, _, _ = random_inputs(RANKS, d_in=7, d_out=5)
    found = prototypes(a, b, RANKS)
    for p, down, up in zip(found, a.split(RANKS), b.split(RANKS), strict=True):
        expected = torch.linalg.svd(up.T @ down).Vh[0]
        torch.testing.assert_close(p * (p @ expected).sign(), expected)


def test_a_prototype_does_not_depend_on_how_the_update_is_written():
    _, a, b, _, _ = random_inputs((3,), d_in=7, d_out=5)
    change = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    other = prototypes(change @ a, torch.linalg.inv(change).T @ b, (3,))
    torch.testing.assert_close(prototypes(a, b, (3,)).abs(), other.abs())
    assert torch.isfinite(prototypes(a, torch.zeros_like(b), (3,))).all()  # it does nothing


def test_scores_by_hand():
    wanted = torch.eye(4)[:3]
    x = torch.tensor([[1.0, -3.0, 2.0, 9.0], [0.0, 0.0, -5.0, 1.0]])
    found = scores(x, wanted, Arrow(top_k=2, temperature=0.5))
    e = [math.exp(6), math.exp(4)]
    expected = [[0, e[0] / sum(e), e[1] / sum(e)]]
    torch.testing.assert_close(found[:1], torch.tensor(expected))
    assert found[1, 2] > 0.9999 and (found > 0).sum(1).tolist() == [2, 2]
    # Fewer LoRAs than may be used are all used.
    assert scores(torch.ones(1, 2), torch.eye(2), Arrow(top_k=3)).tolist() == [[0.5, 0.5]]


def test_the_output_is_the_literal_sum_over_loras():
    x, a, b, _, spread = random_inputs(RANKS, shape=(2, 7))
    base, wanted = torch.randn(2, 7, 5).double(), prototypes(a, b, RANKS)
    out, shares = arrow.add(base, x, stacked(a, b, spread), wanted, Arrow(top_k=2))
    assert shares.shape == (14, 4) and not shares[:, 0].any()
    expected = base.clone()
    for t, token in enumerate(x.reshape(14, -1)):
        for index, (down, up) in enumerate(zip(a.split(RANKS), b.split(RANKS), strict=True)):
            scale = spread[index].max()
            expected.view(14, 5)[t] += shares[t, 1 + index] * scale * (down @ token) @ up
    torch.testing.assert_close(out, expected)


def test_peft_routes_alike():
    peft_arrow = pytest.importorskip("peft.tuners.lora.arrow")
    torch.manual_seed(0)
    names = ["task_0", "task_1", "task_2"]
    pairs = [(torch.randn(4, 9), torch.randn(4, 6)) for _ in names]
    # Power iteration of few steps needs a first singular value well above the second.
    pairs = [(down * torch.tensor([[4.0], [1], [1], [1]]), up) for down, up in pairs]
    config = SimpleNamespace(top_k=2, router_temperature=0.7, rng_seed=0, use_gks=False)
    config.task_adapter_names, config.gks_adapter_names = names, []
    theirs = peft_arrow.ArrowLoraLinearLayer(9, config)
    lora_a = {n: SimpleNamespace(weight=down) for n, (down, _) in zip(names, pairs, strict=True)}
    lora_b = {n: SimpleNamespace(weight=up.T) for n, (_, up) in zip(names, pairs, strict=True)}
    theirs.build_prototypes(lora_a, lora_b)
    x = torch.randn(2, 5, 9)
    scaling = dict(zip(names, (2.0, 1.0, 0.5), strict=True))
    wanted = theirs.forward(x, lora_a, lora_b, nn.Identity(), scaling)
    a, b = (torch.cat([pair[side] for pair in pairs]) for side in (0, 1))
    spread = torch.block_diag(*(torch.full((1, 4), value) for value in scaling.values()))
    how = Arrow(top_k=2, temperature=0.7)
    out, _ = arrow.add(
        torch.zeros(2, 5, 6), x, stacked(a, b, spread), prototypes(a, b, (4, 4, 4)), how
    )
    assert wanted.abs().max() > 1
    torch.testing.assert_close(out, wanted, rtol=1e-3, atol=1e-3)


def test_a_banks_prototypes_follow_every_change_of_its_loras():
    bank = Bank(6, 5, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)

    def fresh() -> Tensor:
        return prototypes(bank.a, bank.b, bank.ranks)

    for count in (1, 2):
        bank.extend(torch.randn(3, 6, generator=generator), torch.randn(3, 5), torch.zeros(5), 4.0)
        assert len(bank.prototypes()) == count
        assert torch.equal(bank.prototypes(), fresh())
    bank.train_newest("none")
    bank.a[3:] += 1
    bank.freeze()
    assert torch.equal(bank.prototypes(), fresh())
    bank.set([3], [4.0], (-bank.a[3:] + 2, bank.b[3:], bank.w[1:]))
    assert torch.equal(bank.prototypes(), fresh())
    assert bank.double().prototypes().dtype == torch.float64


def test_prototypes_made_in_inference_mode_serve_a_backward_pass(llama_folder):
    backbone, mixture = trained(llama_folder)
    mixture.control.arrow = Arrow()
    with torch.inference_mode():
        backbone.model(input_ids=torch.arange(5, 9)[None])
    backbone.model.requires_grad_(True)
    backbone.model(input_ids=torch.arange(5, 9)[None]).logits.sum().backward()


def test_the_newest_lora_alone_is_a_model_that_has_no_other(any_folder):
    backbone, mixture = trained(any_folder)
    mixture.control.alone = True
    found = logits(backbone)
    other = load_base(any_folder)
    alone(other.model, mixture, 2)
    torch.testing.assert_close(found, logits(other), rtol=1e-5, atol=1e-5)
    remove(backbone.model, mixture)
    assert (found - logits(backbone)).abs().max() > 0.1
