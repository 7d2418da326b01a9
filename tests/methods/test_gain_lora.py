"""GainLoRA: a new gate is shut for earlier tasks' prompts, and learning leaves it shut."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from amlora.engine.load import load_backbone
from amlora.engine.settings import ModelSettings
from amlora.methods.base import Stage
from amlora.methods.gain_lora import GainLoRA, GainLoRASettings
from amlora.methods.inf_lora import InfLoRA, InfLoRASettings
from amlora.mixture.gates import Gates, GateSettings
from methods.learning import STAGES, answers, learn, train
from trained import load_base

SCORES = ["linear", "cosine"]
LONG = [dataclasses.replace(stage, steps=8) for stage in STAGES]


def gain_lora(folder: Path, *, score: str = "linear", **options) -> GainLoRA:
    gate = GateSettings(score=score)  # pyright: ignore[reportArgumentType]
    return GainLoRA(load_base(folder), GainLoRASettings(gate=gate, **options), seed=0)


def gates_of(method: GainLoRA, stage: Stage) -> Tensor:
    """Return (rows, N) how far all gates are open for a stage's prompts."""
    with torch.no_grad():
        return method.gates.values(method.vectors(stage.rows))


@pytest.mark.parametrize("score", SCORES)
def test_a_new_gate_is_shut_for_earlier_prompts_and_what_it_learns_leaves_it_so(any_folder, score):
    method = gain_lora(any_folder, score=score, gate_threshold=1.0)
    for index, stage in enumerate(LONG):
        method.begin(stage)
        start = gates_of(method, stage)[:, index]
        assert start.min() > 5e-3  # for its own it is not
        assert all(gates_of(method, earlier)[:, index].max() < 1e-3 for earlier in LONG[:index])
        weights = [part.clone() for part in method.gates.all[-1].parts()]
        train(method, stage, lr=5e-2)
        assert all(
            (part - before).abs().max() > 1e-3
            for part, before in zip(method.gates.all[-1].parts(), weights, strict=True)
        )
        assert (gates_of(method, stage)[:, index] - start).abs().max() > 1e-3
        for earlier in LONG[:index]:
            assert gates_of(method, earlier)[:, index].max() < 2e-3
        method.end(stage)


def test_moves_are_orthogonal_to_what_earlier_prompts_give_each_layer(any_folder):
    method = gain_lora(any_folder, gate_threshold=1.0)
    learn(method, LONG[0], lr=5e-2)
    old, bases = method.gates.all[0], list(method.gate_basis.values())
    learn(method, LONG[1], lr=5e-2)
    new = method.gates.all[1]
    for index, basis in enumerate(bases[:2]):
        move = new.parts()[index] - old.parts()[index]
        assert move.norm() > 0.01
        assert (move @ basis).norm() < 1e-4 * move.norm()
    assert (new.g3 @ bases[2]).norm() < 1e-4 * new.g3.norm()
    vectors = method.vectors(LONG[0].rows)
    for ours, theirs in zip(new.features(vectors), old.features(vectors), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("of", ["inputs", "moments"])
def test_a_gate_keeps_the_leading_directions_of_what_its_layers_are_given(any_folder, of):
    """A share of the inputs' squares, or, as in the authors' code, of their moments' squares."""
    method = gain_lora(any_folder, gate_threshold=0.9, gate_threshold_of=of)
    learn(method, STAGES[0])
    inputs = method.gates.all[0].features(method.vectors(STAGES[0].rows))
    for basis, given in zip(method.gate_basis.values(), inputs, strict=True):
        x = given.double()
        _, values, directions = torch.linalg.svd(x if of == "inputs" else x.T @ x)
        shares = values.square().cumsum(0) / values.square().sum()
        count = int((shares < 0.9 - 1e-9).sum()) + 1
        kept = directions[:count]
        assert basis.shape[1] == count
        torch.testing.assert_close(
            basis.double() @ basis.double().T, kept.T @ kept, atol=1e-3, rtol=0
        )


def test_the_last_layer_starts_as_long_as_the_authors_or_as_steep_as_theirs(any_folder):
    for score in SCORES:
        method = gain_lora(any_folder, score=score)
        method.begin(STAGES[0])
        gate = method.gates.all[0]
        p2 = gate.features(method.vectors(STAGES[0].rows))[2].detach()
        usual = float(p2.square().sum(1).mean().sqrt())
        length = {"linear": 4 / usual, "cosine": (48 / 3) ** 0.5}[score]
        assert gate.g3.detach().norm().item() == pytest.approx(length, rel=1e-5)


def test_an_old_task_keeps_its_answers_where_inf_lora_alone_loses_them(any_folder):
    """Nearly nothing of the layers' inputs is kept, so that the gates alone protect."""
    drift = {}
    for name in ("gain", "inf"):
        if name == "gain":
            method = gain_lora(any_folder, threshold=0.01, gate_threshold=1.0)
        else:
            method = InfLoRA(load_base(any_folder), InfLoRASettings(threshold=0.01), seed=0)
        learn(method, LONG[0], lr=5e-2)
        before = answers(method, LONG[0])
        second = answers(method, LONG[1])
        learn(method, LONG[1], lr=5e-2)
        assert (answers(method, LONG[1]) - second).abs().max() > 0.1
        drift[name] = float((answers(method, LONG[0]) - before).abs().max())
    assert drift["gain"] < 0.01 < 0.1 < drift["inf"]


def test_earlier_gates_stay_as_they_were_bit_for_bit(any_folder):
    method = gain_lora(any_folder)
    learn(method, STAGES[0])
    before = gates_of(method, STAGES[0])[:, 0]
    for stage in STAGES[1:]:
        learn(method, stage, lr=5e-2)
    assert torch.equal(gates_of(method, STAGES[0])[:, 0], before)
    assert not any(part.requires_grad for gate in method.gates.all for part in gate.parts())


def test_layers_that_are_computed_again_in_the_backward_pass_have_their_gates(any_folder):
    losses = []
    for again in (False, True):
        model = ModelSettings(
            name=str(any_folder), precision="float32", device="cpu", checkpointing=again
        )
        method = GainLoRA(load_backbone(model), GainLoRASettings(), seed=0)
        losses.append([learn(method, stage)["task"] for stage in STAGES[:2]])
        assert method.backbone.routing.now is None
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_loras_and_gates_are_stored_and_the_subspaces_are_not(any_folder):
    method = gain_lora(any_folder)
    banks = [layer.bank for layer in method.mixture.layers.values()]
    lora = sum(8 * (bank.a.shape[1] + bank.b.shape[1]) for bank in banks)
    for count, stage in enumerate(STAGES[:2], 1):
        learn(method, stage)
        assert method.stored_parameters() == count * (lora + 201 * 48)


def test_the_pages_size_of_a_gate_is_that_of_smollm2():
    page = Path(__file__).parents[2] / "docs" / "methods" / "gain_lora.md"
    assert f"a gate is {Gates(GateSettings()).size(576):,} numbers" in page.read_text("utf-8")
