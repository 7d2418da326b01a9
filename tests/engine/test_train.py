"""The training loop."""

import math

import pytest
import torch
from accelerate import Accelerator

from amlora.engine.encode import Row
from amlora.engine.settings import TrainSettings
from amlora.engine.train import NonFiniteLoss, StageProgress, train_stage
from amlora.methods.base import Stage
from amlora.methods.inc_lora import IncLoRA
from amlora.methods.lora import OneLoRASettings
from trained import load_base

ROWS = [Row("t", str(i), (1, 40 + i, 60), (90 + i % 2, 2), "x") for i in range(8)]
STAGE = Stage(0, "t", ROWS, 6)


def inc_lora(folder):
    method = IncLoRA(load_base(folder), OneLoRASettings(), seed=0)
    method.begin(STAGE)
    return method


def learn(method, settings, progress=None, stage=STAGE):
    progress = progress or StageProgress()
    train_stage(method, stage, settings, Accelerator(cpu=True), progress, lambda *_: None)
    return progress


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0, [1, 1, 1, 1]),
        ("constant", 2, [0.5, 1, 1, 1]),
        ("linear", 0, [1, 0.75, 0.5, 0.25]),
        ("cosine", 0, [1, (1 + math.cos(math.pi / 4)) / 2, 0.5, (1 - math.cos(math.pi / 4)) / 2]),
    ],
)
def test_learning_rate_schedules(schedule, warmup, expected):
    settings = TrainSettings(schedule=schedule, warmup=warmup)
    assert [settings.rate(step, 4) for step in range(4)] == pytest.approx(expected)


def test_accumulation_gives_the_gradients_of_one_large_batch(any_folder):
    weights = []
    for micro_batch in (8, 2):
        method = inc_lora(any_folder)
        method.mixture.control.dropout = 0.0
        learn(method, TrainSettings(batch=8, micro_batch=micro_batch, lr=1e-3))
        weights.append(torch.cat([w.flatten() for w in method.mixture.lora_parameters()]))
    torch.testing.assert_close(weights[0], weights[1], atol=2e-4, rtol=1e-3)


def test_clipping_bounds_the_move_of_plain_gradient_noise(llama_folder):
    moved = []
    for clip in (0.0, 1e-12):
        method = inc_lora(llama_folder)
        before = [w.detach().clone() for w in method.mixture.lora_parameters()]
        learn(method, TrainSettings(batch=8, clip=clip, lr=1e-3), stage=Stage(0, "t", ROWS, 1))
        after = method.mixture.lora_parameters()
        moved.append(
            max(float((a.detach() - b).abs().max()) for a, b in zip(after, before, strict=True))
        )
    # AdamW's epsilon swallows a gradient that was clipped to nothing.
    assert moved[1] < moved[0] / 10


def test_a_loss_that_is_not_finite_stops_with_step_and_rows_and_changes_nothing(llama_folder):
    method = inc_lora(llama_folder)
    before = [w.detach().clone() for w in method.mixture.lora_parameters()]
    progress = StageProgress()
    with torch.no_grad():
        next(iter(method.mixture.layers.values())).weight.fill_(math.nan)
    with pytest.raises(NonFiniteLoss, match=r"task 't' at step 0: task nan; rows: t/"):
        learn(method, TrainSettings(), progress)
    after = method.mixture.lora_parameters()
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert progress.step == 0


def test_a_stage_can_be_left_and_taken_up_at_any_step(any_folder):
    whole = inc_lora(any_folder)
    learn(whole, TrainSettings(batch=4, lr=1e-2))
    first = inc_lora(any_folder)

    class Left(Exception):
        pass

    progress = StageProgress()

    def leave(state, terms):
        if state.step == 3:
            raise Left

    settings = TrainSettings(batch=4, lr=1e-2)
    with pytest.raises(Left):
        train_stage(first, STAGE, settings, Accelerator(cpu=True), progress, leave)
    second = inc_lora(any_folder)
    second.resume(first.state(), STAGE)
    moments = {name: tensor.clone() for name, tensor in progress.moments.items()}
    again = progress.model_copy(update={"moments": moments})
    learn(second, settings, again)
    pairs = zip(whole.mixture.tensors().values(), second.mixture.tensors().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: TrainSettings(lr=0.0), "lr"),
        (lambda: TrainSettings(batch=0), "batch"),
        (lambda: TrainSettings(warmup=-1), "warmup"),
        (lambda: TrainSettings(steps=0), "steps"),
        (lambda: TrainSettings(micro_tokens=0), "micro_tokens"),
        (lambda: TrainSettings(epochs=math.inf), "epochs"),
    ],
)
def test_wrong_values_are_refused(make, name):
    with pytest.raises(ValueError, match=name):
        make()
