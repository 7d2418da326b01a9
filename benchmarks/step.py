"""A whole training step of the quick-start model, against plain PEFT LoRA of rank 8."""

from collections.abc import Callable, Iterator

import torch
from accelerate import Accelerator
from peft import LoraConfig, TaskType, get_peft_model
from row import Row
from timing import pair
from words import made_up

from amlora.engine.backbone import Backbone, load_backbone
from amlora.engine.batch import micro_batches, task_loss
from amlora.engine.encode import Row as Encoded
from amlora.engine.settings import ModelSettings
from amlora.engine.train import Progress, TrainSettings, make_optimiser, train_stage
from amlora.methods.am_lora import AMLoRA, AMLoRASettings
from amlora.methods.base import Group, Stage
from amlora.methods.lora import LoRASettings

RANK, ALPHA = 8, 32.0
BATCH = 8
TEXT = (50, 90)
BARS = {15: 1.15, 100: 1.6}


def rows(*, quick: bool) -> Iterator[Row]:
    """Time N = 15 and N = 100, all without dropout."""
    pairs = 4 if quick else 12
    for loras, bar in BARS.items():
        plain, ours = plain_lora(), mixture(loras)
        timed = pair(ours, plain, pairs=pairs, warm=2)
        tokens = BATCH * sum(TEXT) / 2
        yield Row(
            name=f"training step, N={loras} / PEFT LoRA r=8",
            ratio=timed.ratio,
            bar=bar,
            floor=floor(loras),
            detail=f"smollm2-135m, {BATCH} rows of {TEXT[0]} to {TEXT[1]} tokens,"
            f" {timed.first:.2f} s, {tokens / timed.first:.0f} tokens/s",
        )


def encoded(backbone: Backbone) -> list[Encoded]:
    """Return one batch."""
    return made_up(backbone, rows=BATCH, instruction=0, text=TEXT)


def mixture(loras: int) -> Callable[[], object]:
    """Return one step of the loop of ours, the newest LoRA and all selectors trained."""
    backbone = load_backbone(ModelSettings())
    settings = AMLoRASettings(lora=LoRASettings(rank=RANK, alpha=ALPHA, dropout=0.0))
    method = AMLoRA(backbone, settings, seed=0)
    data = encoded(backbone)
    for index in range(loras):
        method.begin(Stage(index, str(index), data, 1))
    accelerator, stage = Accelerator(cpu=True), Stage(loras - 1, "last", data, 1)
    train = TrainSettings(batch=BATCH, micro_batch=BATCH, lr=1e-5)
    moments: dict[str, torch.Tensor] = {}

    def run() -> None:
        progress = Progress(moments=moments)
        train_stage(method, stage, train, accelerator, progress, lambda *_: None)

    return run


def plain_lora() -> Callable[[], object]:
    """Return one step of PEFT's LoRA with the same batch, loss, clipping and optimiser."""
    backbone = load_backbone(ModelSettings())
    config = LoraConfig(
        r=RANK,
        lora_alpha=int(ALPHA),
        target_modules=["q_proj", "v_proj"],
        lora_dropout=0.0,
        task_type=TaskType.CAUSAL_LM,
    )
    model = get_peft_model(backbone.model, config, autocast_adapter_dtype=False)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    data = encoded(backbone)
    optimiser = make_optimiser([Group("lora", weights)], TrainSettings(lr=1e-5))
    model.train()

    def run() -> None:
        for batch in micro_batches(data, backbone, size=BATCH):
            task_loss(backbone, batch).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return run


def floor(loras: int) -> float:
    """Return our multiply-adds over those of one LoRA, frozen model included.

    The frozen model's products are counted twice, for outputs and for gradients of inputs; the
    head only at the answer. A LoRA's rows: A x, B z, the gradients that pass through, and those of
    A and B where they are trained.
    """
    width, kv, hidden, layers = 576, 192, 1536, 30
    frozen = layers * 2 * (2 * width**2 + 2 * width * kv + 3 * width * hidden)
    each = RANK * ((width + width) + (width + kv)) * layers  # a LoRA's A x and B z, q and v
    plain = frozen + 3 * each
    return (frozen + (2 * loras + 1) * each) / plain
