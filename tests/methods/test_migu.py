"""MIGU: at each step the gradients of just the largest outputs are left."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from amlora.engine.batch import collate, task_loss
from amlora.engine.encode import Row
from amlora.methods.lora import LoRASettings
from amlora.methods.migu import MIGU, MIGUSettings, largest, size
from amlora.methods.seq_ft import SeqFT, TrainableSettings
from methods.learning import STAGES, answers, learn
from trained import load_base

FORMS = pytest.mark.parametrize("trainable", ["all", "lora"])
UNEVEN = [Row("t", str(i), (1, *range(50, 53 + 2 * i)), (90, 2), "x") for i in range(4)]


def migu(folder, **options) -> MIGU:
    return MIGU(load_base(folder), MIGUSettings(**options), seed=0)


def stepped(method: MIGU, rows: Sequence[Row], micro_batch: int) -> dict[str, Tensor]:
    """Do the first half of a step of the second task; return the gradients before the mask."""
    share = 1 / sum(len(row.answer_ids) for row in rows)
    method.backbone.model.train()
    method.before_step(STAGES[1], 0)
    for i in range(0, len(rows), micro_batch):
        batch = collate(rows[i : i + micro_batch], method.backbone, share=share)
        method.loss(batch)["task"].backward()
    weights = method.trainable.weights()
    before = {n: w.grad.clone() for n, w in weights.items() if w.grad is not None}
    method.before_update(STAGES[1], 0)
    return before


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.5, [0, 1, 0, 1, 1]),
        (0.6, [0, 1, 0, 0, 1]),
        (0.79, [0, 1, 0, 0, 1]),
        (0.8, [0, 1, 0, 0, 0]),
    ],
)
def test_the_mask_by_hand(threshold, expected):
    sizes = torch.tensor([0.1, 9.0, 0.5, 2.0, 3.0])
    assert largest(sizes, threshold).tolist() == expected


def test_the_size_is_the_sum_of_absolute_values_over_tokens_that_are_no_padding():
    output = torch.tensor([[[1.0, -2.0], [3.0, 4.0]], [[-5.0, 0.5], [7.0, 7.0]]])
    mask = torch.tensor([[1, 1], [1, 0]]).bool()
    assert size(output, mask).tolist() == [9.0, 6.5]
    assert size(output.flatten(0, 1), mask).tolist() == [9.0, 6.5]
    with pytest.raises(ValueError, match="the mask"):
        size(output[:, :1], mask)


def test_a_layers_mask_is_that_of_its_mean_output_over_all_rows_read_one_by_one(any_folder):
    method, alone = migu(any_folder), load_base(any_folder)
    totals: dict[str, Tensor] = {name: torch.zeros(()) for name in method.layers()}

    def add(name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        totals[name] = totals[name] + output[0].detach().abs().sum(0)

    for name in totals:
        alone.model.get_submodule(name).register_forward_hook(partial(add, name))
    for row in UNEVEN:
        task_loss(alone, collate([row], alone, share=1.0))
    method.begin(STAGES[1])
    before = stepped(method, UNEVEN, 3)
    assert len(totals) > 10
    for name, weight in method.trainable.weights().items():
        layer = name.removesuffix(".weight")
        if weight.grad is not None:  # of norms and embeddings, all of it
            mask = largest(totals[layer], 0.7)[:, None] if layer in totals else 1
            assert torch.equal(weight.grad, before[name] * mask)


def test_a_lora_is_masked_by_the_output_of_a_and_by_that_of_the_whole_layer(any_folder):
    method = migu(any_folder, trainable="lora", threshold=0.5)
    learn(method, STAGES[0])
    method.begin(STAGES[1])
    assert method.mixture is not None
    x: dict[str, Tensor] = {}
    handles = [
        layer.register_forward_pre_hook(
            lambda module, inputs: x.update({cast(str, module.name): inputs[0].detach()[0]})
        )
        for layer in method.mixture.layers.values()
    ]
    before = stepped(method, STAGES[1].rows[:1], 1)
    for handle in handles:
        handle.remove()
    method.backbone.model.eval()
    method.end(STAGES[1])
    for name, layer in method.mixture.layers.items():
        a, b = layer.bank.a_tail, layer.bank.b_tail
        assert a is not None and b is not None and a.grad is not None and b.grad is not None
        rows = largest((x[name] @ a.T).abs().sum(0), 0.5)
        assert rows.sum() == 4
        torch.testing.assert_close(a.grad, before[f"{name}.a"] * rows[:, None])
        assert int((b.grad.abs().sum(0) > 0).sum()) <= b.shape[1] // 2


def test_biases_and_conv1d_are_masked_along_their_outputs(llama_folder):
    backbone = load_base(llama_folder)
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, n_positions=64, vocab_size=420)
    backbone.model = GPT2LMHeadModel(config)
    method = MIGU(backbone, MIGUSettings(threshold=0.5), seed=0)
    method.begin(STAGES[1])
    before = stepped(method, STAGES[0].rows[:4], 4)
    attention = backbone.model.get_submodule("transformer.h.0.attn.c_attn")
    weight, bias = attention.get_parameter("weight"), attention.get_parameter("bias")
    assert weight.shape == (16, 48) and weight.grad is not None and bias.grad is not None
    kept = weight.grad.abs().sum(0) > 0
    assert kept.sum() == 24
    assert torch.equal(weight.grad, before["transformer.h.0.attn.c_attn.weight"] * kept)
    assert torch.equal(bias.grad, before["transformer.h.0.attn.c_attn.bias"] * kept)
    assert len(method.layers()) == 4  # the head is none of them


@FORMS
def test_the_first_task_learns_without_a_mask(any_folder, trainable):
    """As in the authors' scripts: round 1 is told that it is the first."""
    lora = LoRASettings(dropout=0) if trainable == "lora" else None
    plain = SeqFT(load_base(any_folder), TrainableSettings(trainable=trainable, lora=lora), seed=0)
    method = migu(any_folder, trainable=trainable, lora=lora)
    for each in (plain, method):
        learn(each, STAGES[0])
    assert torch.equal(answers(method, STAGES[0]), answers(plain, STAGES[0]))
    for each in (plain, method):
        learn(each, STAGES[1])
    assert not torch.equal(answers(method, STAGES[1]), answers(plain, STAGES[1]))


@FORMS
def test_micro_batches_make_the_same_mask(any_folder, trainable):
    left = []
    for micro_batch in (4, 1):
        lora = LoRASettings(dropout=0) if trainable == "lora" else None
        method = migu(any_folder, trainable=trainable, lora=lora)
        method.begin(STAGES[1])
        stepped(method, UNEVEN, micro_batch)
        weights = method.trainable.weights()
        left.append({n: w.grad for n, w in weights.items() if w.grad is not None})
    for name, gradient in left[0].items():
        torch.testing.assert_close(gradient, left[1][name], rtol=1e-3, atol=1e-6)


@FORMS
def test_it_looks_at_outputs_only_while_it_learns(llama_folder, trainable):
    method = migu(llama_folder, trainable=trainable)
    for stage in STAGES[:2]:
        learn(method, stage)
        assert not any(layer._forward_hooks for layer in method.layers().values())
        answers(method, stage)
    method.begin(STAGES[2])
    method.begin(STAGES[2])
    assert all(len(layer._forward_hooks) == 1 for layer in method.layers().values())
