"""EWC measures each task's Fisher at its end, and pulls towards the weights there."""

import dataclasses
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from amlora.methods.ewc import EWC
from methods.learning import STAGES, learn, make, train

FORMS = pytest.mark.parametrize("trainable", ["all", "lora"])


def ewc(folder, **options) -> EWC:
    return cast(EWC, make(folder, "ewc", **options))


def weights_of(method: EWC) -> dict[str, nn.Parameter]:
    return method.trainable.weights()


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@FORMS
def test_the_penalty_is_half_lambda_times_the_fisher_weighted_square(any_folder, trainable):
    method = ewc(any_folder, trainable=trainable, strength=50.0)
    learn(method, STAGES[0])
    anchor, fisher = copied(method.anchor), copied(method.fisher)
    method.begin(STAGES[1])
    assert method.penalty()["ewc"].item() == 0
    train(method, STAGES[1])
    now = weights_of(method)
    assert now.keys() == anchor.keys() == fisher.keys()
    squares = {name: (now[name].detach() - anchor[name]).square() for name in now}
    expected = sum((fisher[name] * square).double().sum() for name, square in squares.items())
    assert method.penalty()["ewc"].item() == pytest.approx(25.0 * float(expected), rel=1e-4)
    assert float(expected) > 0


@FORMS
@pytest.mark.parametrize("labels", ["true", "sampled"])
def test_the_fisher_of_a_later_task_is_added_to_the_decayed_sum(any_folder, trainable, labels):
    method = ewc(any_folder, trainable=trainable, labels=labels, decay=0.25, strength=1e4)
    learn(method, STAGES[0])
    first = copied(method.fisher)
    # The same weights without the first task's Fisher and anchor: no penalty can be in this one.
    other = ewc(any_folder, trainable=trainable, labels=labels)
    learn(method, STAGES[1])
    other.trainable.restore(method.trainable.state())
    other.trainable.open()
    other.end(STAGES[1])
    assert any(tensor.any() for tensor in other.fisher.values())
    for name, total in method.fisher.items():
        torch.testing.assert_close(total, 0.25 * first[name] + other.fisher[name])


@FORMS
def test_the_anchor_is_where_the_last_task_ended(any_folder, trainable):
    method = ewc(any_folder, trainable=trainable)
    for stage in STAGES[:2]:
        learn(method, stage)
        now = weights_of(method)
        assert all(torch.equal(tensor, now[name]) for name, tensor in method.anchor.items())
    method.begin(STAGES[2])
    assert method.penalty()["ewc"].item() == 0


@pytest.mark.parametrize(("wanted", "read"), [(3, 3), (8, 8), (100, 8)])
def test_the_fisher_is_measured_on_so_many_different_rows(llama_folder, wanted, read):
    method = ewc(llama_folder, fisher_rows=wanted)
    method.begin(STAGES[0])
    prompts: list[tuple[int, ...]] = []
    model = method.backbone.model
    model.register_forward_pre_hook(
        lambda module, args, inputs: prompts.extend(map(tuple, inputs["input_ids"].tolist())),
        with_kwargs=True,
    )
    method.end(STAGES[0])
    assert len(prompts) == len(set(prompts)) == read


def test_a_stronger_pull_keeps_weights_nearer_to_the_anchor(any_folder):
    drifts = []
    for strength in (1e-6, 1e6):
        method = ewc(any_folder, strength=strength)
        learn(method, STAGES[0])
        anchor, fisher = copied(method.anchor), copied(method.fisher)
        learn(method, dataclasses.replace(STAGES[1], steps=20))
        now = weights_of(method)
        pairs = [(fisher[n] * (now[n] - anchor[n]).square()).sum().item() for n in now]
        drifts.append(sum(pairs))
    assert drifts[1] < 0.2 * drifts[0]
