"""Learn one skill: only what it uses is there, frozen, and a new LoRA learns on top of it.

The loop is the engine's, with looks at the stop rows (`course.py`). A killed `train_skill` goes on
from its checkpoint with the same numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor

from amlora import formats
from amlora.engine import checkpoint
from amlora.engine.backbone import Backbone
from amlora.engine.batch import length, steps_of
from amlora.engine.checkpoint import Checkpoint, RunProgress
from amlora.engine.encode import Row
from amlora.engine.settings import TrainSettings
from amlora.engine.train import NonFiniteLoss, StageProgress
from amlora.errors import InputError
from amlora.experiment.provenance import environment
from amlora.experiment.reporter import Reporter
from amlora.experiment.stop import Interrupted, Stop
from amlora.methods.base import Stage
from amlora.mixture.mixture import Mixture
from amlora.records.skills import Tried
from amlora.skills.course import LOOKED, Course, Look, Looked, looked_of, some_of
from amlora.skills.lesson import Lesson, Used, facts_of, method_of, pick_up
from amlora.skills.settings import LearnSettings

RATES = (1e-3, 3e-3, 1e-2)
"""Tried where the settings ask for it."""
TRIAL = 0.25
"""The share of the steps that each is tried for."""
CPU_TOKENS = 30_000
"""Read in learning on a CPU, where the settings leave it open."""
LOOKED_AT, LOOK_SHARE, LOOK_TOKENS = 200, 0.05, 2_000
"""A look is at most at so many stop rows. It reads at most so large a share of the tokens that are
learned from, or so many where that is more: all looks take about a tenth of the time then."""
MICRO_TOKENS = {"cpu": 256, "cuda": 16_384}
"""Most tokens in a forward pass while learning. On a CPU a larger one is no faster."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A LoRA that has been learned, and how."""

    rank: int
    alpha: float
    targets: list[str]
    """The adapted modules, in the model's order."""
    tensors: dict[str, Tensor]
    """"<layer>.a" (R, D_in) and "<layer>.b" (R, D_out), its own, on the CPU; where skills combine
    by attention "<layer>.kept" (team, D_out), the selectors of what it uses and its own."""
    lr: float
    """The rate that it was learned with."""
    losses: list[Look]
    """Of each look: step, train loss since the look before, stop loss; nats a target token. Empty
    where there are no stop rows."""
    steps: int
    """Until learning stopped."""
    planned: int
    best: int
    """The step whose weights these are."""
    tokens: int
    """Read in learning, without trials."""
    seconds: dict[str, float]
    """Of "train", "look" and "tune", over all calls that worked on it."""
    tried: list[Tried]


def train_skill(
    backbone: Backbone,
    *,
    name: str,
    used: Used,
    rows: Sequence[Row],
    stop: Sequence[Row],
    settings: LearnSettings,
    work: Path,
    reporter: Reporter,
    stopper: Stop,
) -> Trained:
    """Learn one skill.

    Args:
        backbone: without a mixture, which it is again afterwards, also after an error.
        name: what the new LoRA is called while it learns.
        used: the LoRAs below, which stay as they are.
        rows: to learn from, at least one.
        stop: to tell when to stop; without any all steps are done and the last weights kept.
        settings: `lr` does not count where `tune` is set, nor `epochs` where `steps` is.
        work: a folder for a checkpoint. The caller removes it once what was learned is safe: until
            then the same call gives the same again.
        reporter: told of every step.
        stopper: asked after every step.

    Returns:
        The weights of the best look; with `settings.steps` the last.

    Raises:
        InputError: what is used does not fit the model or the settings; there are no rows, or none
            to `tune` on; or there are several processes.
        Interrupted: the user asked to stop; the same call goes on from `work`.
        NonFiniteLoss: the loss became infinite or no number.
    """
    if not rows:
        raise InputError(f"{name}: there are no rows to learn from.")
    if settings.tune and not stop:
        raise InputError(f"{name}: tune needs stop rows, and there are none.")
    device = backbone.model.device.type
    accelerator = Accelerator(cpu=device == "cpu")
    if accelerator.num_processes > 1:
        raise InputError("a skill is learned by one process; start it without a launcher.")
    planned = planned_steps(rows, settings, device)
    tokens = max(LOOK_TOKENS, LOOK_SHARE * planned * step_tokens(rows, settings))
    lesson = Lesson(
        backbone=backbone,
        name=name,
        used=used,
        rows=rows,
        stop=some_of(stop, most=LOOKED_AT, tokens=tokens, seed=settings.seed),
        settings=settings,
        folder=work / "checkpoint",
        facts=facts_of(backbone, name, used, rows, stop, settings),
        environment=environment(accelerator),
        accelerator=accelerator,
        reporter=reporter,
        stopper=stopper,
    )
    found = pick_up(lesson)
    tried = [] if found is None else list(looked_of(found).tried)
    seconds = {} if found is None else dict(found.progress.seconds)
    if settings.tune:
        tune(lesson, planned, tried, seconds)
    rate = min(tried, key=loss_of).lr if tried else settings.lr
    patience = settings.patience if settings.steps is None and stop else None

    def save(course: Course, due: bool) -> None:
        if due or stopper.asked:
            point = course.checkpoint(lesson.environment, lesson.facts, tried)
            point.progress.seconds = seconds | course.seconds
            checkpoint.save(lesson.folder, point)
        if stopper.asked:
            raise Interrupted(work)

    with method_of(lesson) as method:
        stage = Stage(len(used.names), name, rows, planned)
        reporter.stage_started(len(tried) + 1, len(tried) + 1, name, planned)
        course = Course(
            method,
            stage,
            lesson.stop,
            optimisation(settings, rate, device),
            patience=patience,
            accelerator=accelerator,
            reporter=reporter,
            save=save,
        )
        if found is not None and found.phase == "train":
            course.resume(found)
        else:
            course.begin(look=True)
        course.run()
        if course.within.step < planned:
            reporter.note(
                f"{name}: stopped early at step {course.within.step} of {planned} (best at"
                f" {course.best_step})."
            )
        return Trained(
            rank=settings.lora.rank,
            alpha=settings.lora.alpha,
            targets=list(method.mixture.layers),
            tensors=own_tensors(method.mixture),
            lr=rate,
            losses=list(course.losses),
            steps=course.within.step,
            planned=planned,
            best=course.best_step,
            tokens=course.within.tokens,
            seconds=seconds | course.seconds,
            tried=tried,
        )


def own_tensors(mixture: Mixture) -> dict[str, Tensor]:
    """Return the newest LoRA, and all selectors where there is attention, as copies on the CPU."""
    found: dict[str, Tensor] = {}
    for name, layer in mixture.layers.items():
        rows, (a, b, w) = layer.bank.rows(len(mixture) - 1), layer.bank.stacks()
        found[f"{name}.a"], found[f"{name}.b"] = a[rows], b[rows]
        if mixture.control.combine == "attention":
            found[f"{name}.kept"] = w
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in found.items()}


def step_tokens(rows: Sequence[Row], settings: LearnSettings) -> float:
    """Return how many tokens an optimiser step reads on average."""
    return settings.batch * sum(map(length, rows)) / len(rows)


def planned_steps(rows: Sequence[Row], settings: LearnSettings, device: str) -> int:
    """Return after how many steps learning ends at the latest."""
    steps = steps_of(len(rows), settings.batch, settings.epochs, settings.steps)
    most = settings.train_tokens
    if most == "auto":
        most = CPU_TOKENS if device == "cpu" else None
    if settings.steps is not None or most is None:
        return steps
    return max(1, min(steps, int(most / step_tokens(rows, settings))))


def optimisation(settings: LearnSettings, rate: float, device: str) -> TrainSettings:
    """Return how the engine's loop learns.

    The rate falls in a straight line to 0, so that the last looks differ little and which of them
    is the best does not matter much; a constant one jumps to the end.
    """
    return TrainSettings(
        lr=rate,
        batch=settings.batch,
        micro_batch=settings.batch,
        micro_tokens=MICRO_TOKENS.get(device, MICRO_TOKENS["cpu"]),
        schedule="linear",
        bucketed=False,  # where length tells the answer, rows of one length are of one answer
    )


def tune(lesson: Lesson, planned: int, tried: list[Tried], seconds: dict[str, float]) -> None:
    """Try the rates that have not been tried yet; add to `tried`, and to `seconds` at "tune"."""
    settings, steps = lesson.settings, max(1, math.ceil(TRIAL * planned))
    stage = Stage(len(lesson.used.names), lesson.name, lesson.rows, steps)
    stopper, count = lesson.stopper, len(RATES) + 1

    def asked(*_: object) -> None:
        if stopper.asked:
            raise Interrupted(lesson.folder.parent)

    for index in range(len(tried), len(RATES)):
        rate = RATES[index]
        lesson.reporter.stage_started(index + 1, count, f"{lesson.name}, rate {rate:g}", steps)
        with method_of(lesson) as method:
            course = Course(
                method,
                stage,
                lesson.stop,
                optimisation(settings, rate, lesson.backbone.model.device.type),
                patience=None,
                looks=1,
                accelerator=lesson.accelerator,
                reporter=lesson.reporter,
                save=asked,
            )
            loss = None
            try:
                course.begin(look=False)
                course.run()
                loss = course.losses[-1][2]
            except NonFiniteLoss as error:
                lesson.reporter.note(f"rate {rate:g}: {error}")
        tried.append(Tried(lr=rate, steps=steps, loss=loss))
        seconds["tune"] = seconds.get("tune", 0.0) + sum(course.seconds.values())
        told = "no number" if loss is None else f"{loss:.3f}"
        lesson.reporter.note(f"rate {rate:g}: loss {told} after {steps} steps.")
        point = Checkpoint(
            stage=0,
            phase="begin",
            values={LOOKED: formats.plain(Looked(tried=tuple(tried)))},
            progress=RunProgress(seconds=seconds),
            within=StageProgress(),
            environment=lesson.environment,
            facts=lesson.facts,
        )
        checkpoint.save(lesson.folder, point)
    if all(each.loss is None for each in tried):
        raise InputError(f"{lesson.name}: no rate of {', '.join(map(str, RATES))} can be used.")


def loss_of(tried: Tried) -> float:
    """Return a trial's loss, infinity where it was no number."""
    return math.inf if tried.loss is None else tried.loss
