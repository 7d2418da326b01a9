"""Learn small stages with a method, and look at what the model then answers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from amlora.engine.backbone import Backbone
from amlora.engine.batch import collate, target_logits
from amlora.engine.encode import Row
from amlora.engine.settings import TrainSettings
from amlora.engine.train import StageProgress, train_stage
from amlora.methods import method_class
from amlora.methods.base import Method, Stage
from amlora.methods.lora import LoRAMethod
from amlora.mixture.layer import MixtureLinear
from amlora.mixture.mixture import Mixture
from trained import load_base

STEPS = 4
Learner = TypeVar("Learner", bound=Method)


def rows(task: str, first: int, answer: int, count: int = 8) -> list[Row]:
    """Return rows that differ in one token of the prompt."""
    return [Row(task, str(i), (1, first, 60 + i, 40, 41), (answer, 2), "x") for i in range(count)]


STAGES = [
    Stage(i, name, rows(name, 100 + 20 * i, 90 + i), STEPS)
    for i, name in enumerate(("one", "two", "three"))
]


def make(folder: Path, name: str, **options: object) -> Method:
    """Return a method with a fresh model."""
    chosen = method_class(name)
    return chosen(load_base(folder), chosen.Settings(**options), seed=0)


def with_random_loras(method: LoRAMethod, stages: Sequence[Stage], size: float = 1.0) -> None:
    """Begin stages whose LoRAs have random B; the last one is before its first step."""
    torch.manual_seed(3)
    for stage in stages:
        method.begin(stage)
        for layer in method.mixture.layers.values():
            layer.bank.b[layer.bank.rows(stage.index)].normal_(std=size)
    method.before_step(stages[-1], 0)


def train(
    method: Method,
    stage: Stage,
    *,
    progress: StageProgress | None = None,
    done: Callable[[StageProgress, dict[str, float]], None] = lambda *_: None,
    lr: float = 1e-2,
    micro_batch: int = 4,
) -> dict[str, float]:
    """Train a stage that has begun to its end; return the last step's terms."""
    last: dict[str, float] = {}

    def told(state: StageProgress, terms: dict[str, float]) -> None:
        last.update(terms)
        done(state, terms)

    settings = TrainSettings(batch=4, lr=lr, micro_batch=micro_batch)
    accelerator = Accelerator(cpu=True)
    train_stage(method, stage, settings, accelerator, progress or StageProgress(), told)
    return last


def learn(method: Method, stage: Stage, **how: object) -> dict[str, float]:
    """Learn a stage from its beginning to its end; return the last step's terms."""
    method.begin(stage)
    last = train(method, stage, **how)  # pyright: ignore[reportArgumentType]
    method.end(stage)
    return last


@torch.inference_mode()
def answers(method: Method, stage: Stage, *, told: bool = True) -> Tensor:
    """Return the logits of a stage's rows as they are scored, with the task's name or without."""
    method.route(stage.task if told else None)
    method.backbone.model.eval()
    batch = collate(method.readable(stage.rows, scoring=True), method.backbone, share=1.0)
    return target_logits(method.backbone, batch)


def inputs_of(backbone: Backbone, mixture: Mixture, rows: Sequence[Row]) -> dict[str, Tensor]:
    """Return (T, D_in) float64 inputs of every layer, rows read one at a time."""
    seen: dict[str, list[Tensor]] = {name: [] for name in mixture.layers}

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, MixtureLinear)
        seen[module.name].append(inputs[0][0].double())

    hooks = [layer.register_forward_pre_hook(keep) for layer in mixture.layers.values()]
    backbone.model.eval()
    with torch.no_grad():
        for row in rows:
            target_logits(backbone, collate([row], backbone, share=1.0))
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(inputs) for name, inputs in seen.items()}


class Stopped(Exception):
    """Ends training within a stage."""


def stop_after(steps: int) -> Callable[[StageProgress, dict[str, float]], None]:
    """Return a callback that ends training after so many steps."""

    def done(progress: StageProgress, terms: dict[str, float]) -> None:
        if progress.step == steps:
            raise Stopped

    return done


def whole_and_resumed(make: Callable[[], Learner]) -> tuple[Learner, Learner]:
    """Learn the first two stages at a stretch, and with a stop within the second.

    Returns:
        A method that was never stopped, and one that went on from the state of a third.
    """
    whole, cut, other = make(), make(), make()
    for method in (whole, cut):
        learn(method, STAGES[0])
        method.begin(STAGES[1])
    train(whole, STAGES[1])
    progress = StageProgress()
    with pytest.raises(Stopped):
        train(cut, STAGES[1], progress=progress, done=stop_after(2))
    other.resume(cut.state(), STAGES[1])
    train(other, STAGES[1], progress=progress)
    for method in (whole, other):
        method.end(STAGES[1])
    return whole, other
