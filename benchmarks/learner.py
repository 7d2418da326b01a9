"""AM-LoRA in the midst of learning its last task of N, and one step of the loop on a method."""

from collections.abc import Callable

import torch
from accelerate import Accelerator
from subjects import Subject
from words import made_up

from amlora.engine.backbone import Backbone
from amlora.engine.encode import Row as Encoded
from amlora.engine.settings import TrainSettings
from amlora.engine.train import StageProgress, train_stage
from amlora.methods.am_lora import AMLoRA, AMLoRASettings
from amlora.methods.base import Method, Stage
from amlora.methods.lora import LoRASettings

RANK, ALPHA = 8, 32.0
BATCH = 8
TEXT = (50, 90)


def grown(subject: Subject, loras: int) -> AMLoRA:
    """Return the method with so many LoRAs, the newest and all selectors trained, no dropout."""
    settings = AMLoRASettings(lora=LoRASettings(rank=RANK, alpha=ALPHA, dropout=0.0))
    method = AMLoRA(subject.load(), settings, seed=0)
    for index in range(loras):
        method.begin(Stage(index, str(index), (), 1))
    return method


def one_step(subject: Subject, loras: int) -> Callable[[], None]:
    """Return one step of AM-LoRA's last of so many tasks."""
    method = grown(subject, loras)
    return step_of(method, Stage(loras - 1, "last", encoded(method.backbone), 1))


def step_of(method: Method, stage: Stage) -> Callable[[], None]:
    """Return one step of the loop, from rows to the optimiser's move.

    Args:
        method: its `begin` was called for the stage.
        stage: of one step.
    """
    accelerator = Accelerator(cpu=True)
    train = TrainSettings(batch=BATCH, micro_batch=BATCH, lr=1e-5)
    moments: dict[str, torch.Tensor] = {}

    def run() -> None:
        progress = StageProgress(moments=moments)
        train_stage(method, stage, train, accelerator, progress, lambda *_: None)

    return run


def encoded(backbone: Backbone) -> list[Encoded]:
    """Return one batch."""
    return made_up(backbone, rows=BATCH, instruction=0, text=TEXT)


def tokens_of(rows: list[Encoded]) -> tuple[int, int]:
    """Return the tokens that the model reads of some rows, and the targets among them."""
    targets = sum(len(row.answer_ids) for row in rows)
    return sum(len(row.prompt_ids) - 1 for row in rows) + targets, targets
