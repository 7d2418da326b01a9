"""InfLoRA's A reads the new task's inputs and not those of earlier tasks."""

import dataclasses

import pytest
import torch
from torch import Tensor

from amlora.methods.inf_lora import InfLoRA, InfLoRASettings, design
from amlora.methods.lora import LoRASettings
from methods.learning import STAGES, answers, inputs_of, learn, make, train
from trained import load_base

NARROW = LoRASettings(rank=2)


def inf_lora(folder, **options) -> InfLoRA:
    return InfLoRA(load_base(folder), InfLoRASettings(**options), seed=0)


def newest_a(method: InfLoRA) -> dict[str, Tensor]:
    """Return (R, D_in) float64 of the newest LoRA in every layer."""
    banks = {name: layer.bank for name, layer in method.mixture.layers.items()}
    return {name: bank.a[bank.rows(len(bank) - 1)].double() for name, bank in banks.items()}


def test_a_has_the_leading_singular_vectors_of_what_is_left_of_the_inputs(any_folder):
    method = inf_lora(any_folder, lora=NARROW, threshold=0.6)
    learn(method, STAGES[0])
    h = inputs_of(method.backbone, method.mixture, STAGES[1].rows)
    method.begin(STAGES[1])
    for name, rows in newest_a(method).items():
        old = method.basis[name].double()
        assert old.shape[1] > 0
        left = h[name] - h[name] @ old @ old.T
        _, values, expected = torch.linalg.svd(left, full_matrices=False)
        used = int((values[:2] > 1e-4).sum())  # the decoder reads few different tokens
        # Rows may differ in sign, and in which is which where two are used alike.
        wanted = expected[:used].T @ expected[:used] / 3
        torch.testing.assert_close(rows.T @ rows, wanted, rtol=0, atol=1e-3)


def test_the_rows_of_a_are_orthogonal_also_to_what_is_kept_and_as_long_as_random_ones(any_folder):
    method = inf_lora(any_folder)
    for stage in STAGES:
        method.begin(stage)
        for name, rows in newest_a(method).items():
            used = rows[rows.square().sum(1) > 0]
            torch.testing.assert_close(
                used @ used.T, torch.eye(len(used)).double() / 3, atol=1e-5, rtol=0
            )
            assert (rows @ method.basis[name].double()).abs().sum() < 1e-4
        train(method, stage)
        method.end(stage)


@pytest.mark.parametrize("of", ["inputs", "moments"])
@pytest.mark.parametrize("threshold", [0.7, 0.99])
def test_what_is_kept_holds_the_share_after_learning(any_folder, threshold, of):
    method = inf_lora(any_folder, threshold=threshold, threshold_of=of)
    for stage in STAGES[:2]:
        learn(method, stage)
        for name, h in inputs_of(method.backbone, method.mixture, stage.rows).items():
            basis, x = method.basis[name].double(), h if of == "inputs" else h.T @ h
            held = (x @ basis).square().sum() / x.square().sum()
            assert held >= threshold - 1e-4
            # Of the first task, one direction less would not hold it.
            less = (x @ basis[:, :-1]).square().sum() / x.square().sum()
            assert stage.index or less < threshold + 1e-4


def test_answers_of_an_old_task_stay_if_all_of_its_inputs_are_kept(any_folder):
    """Two short rows leave directions free, which a later task learns in."""
    few = [dataclasses.replace(stage, rows=stage.rows[:2], steps=10) for stage in STAGES[:2]]
    drift: dict[str, float] = {}
    for name, options in (("inf_lora", {"threshold": 1.0}), ("inc_lora", {})):
        method = make(any_folder, name, **options)
        learn(method, few[0])
        before = answers(method, few[0])
        second = answers(method, few[1])
        learn(method, few[1])
        assert (answers(method, few[1]) - second).abs().max() > 0.1
        drift[name] = float((answers(method, few[0]) - before).abs().max())
    assert drift["inf_lora"] < 1e-3 < 0.1 < drift["inc_lora"]


def test_b_alone_is_trained(any_folder):
    method = inf_lora(any_folder)
    method.begin(STAGES[0])
    (group,) = method.parameters()
    banks = [layer.bank for layer in method.mixture.layers.values()]
    assert [id(weight) for weight in group.parameters] == [id(bank.b_tail) for bank in banks]
    train(method, STAGES[0])
    assert all(bank.a_tail is not None and bank.a_tail.grad is None for bank in banks)


def test_fewer_free_directions_than_rows_leave_rows_of_zeros():
    moments = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0])).double()
    basis = torch.eye(4)[:, :3]
    rows = design(moments, basis, 2)
    expected = torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0]]).double() / 3**0.5
    torch.testing.assert_close(rows.abs(), expected)


def test_inputs_are_measured_on_so_many_rows_the_same_ones_twice(llama_folder):
    method = inf_lora(llama_folder, measured_rows=3)
    read: list[list[tuple[int, ...]]] = []
    method.backbone.model.register_forward_pre_hook(
        lambda module, args, inputs: read.append(sorted(map(tuple, inputs["input_ids"].tolist()))),
        with_kwargs=True,
    )
    method.begin(STAGES[0])
    method.end(STAGES[0])
    assert len(read) == 2 and read[0] == read[1] and len(set(read[0])) == 3
