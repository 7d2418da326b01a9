"""What `peft` offers for several LoRAs at once: all of them active, and X-LoRA."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from peft import LoraConfig, LoraModel, PeftModel, XLoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F

from amlora.engine.backbone import Backbone
from amlora.engine.batch import IGNORED, Batch
from amlora.mixture.inject import find_targets
from amlora.mixture.manifest import Base
from amlora.mixture.mixture import Mixture
from amlora.mixture.peft_files import adapter_files

RANK, ALPHA = 8, 32


def peft_loras(backbone: Backbone, loras: int) -> list[nn.Parameter]:
    """Put LoRAs of `peft` into a model, all active, and return the newest one's weights.

    The others are frozen, as they are while a task is learned. `LoraModel` is used without the
    `PeftModel` around it, which adds nothing here, and whose constructor asks a transformers model
    for a deprecated attribute, `is_gradient_checkpointing`.
    """
    targets = find_targets(backbone.model, backbone.model.config.model_type)
    configs = {
        str(index): LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets)
        for index in range(loras)
    }
    model = LoraModel(backbone.model, {"0": configs["0"]}, "0")
    for name in list(configs)[1:]:
        model.peft_config[name] = configs[name]
        model.inject_adapter(model.model, name)
    model.set_adapter(list(configs))
    newest = f".{loras - 1}."
    for name, weight in backbone.model.named_parameters():
        weight.requires_grad_(".lora_" in name and newest in name.rpartition(".lora_")[2])
    return [weight for weight in backbone.model.parameters() if weight.requires_grad]


@torch.no_grad()
def copy_loras(mixture: Mixture, model: nn.Module) -> None:
    """Give LoRAs that `peft_loras` made the numbers of a mixture's."""
    for name, layer in mixture.layers.items():
        theirs = cast(Any, model.get_submodule(name))
        for index in range(len(mixture)):
            rows = layer.bank.rows(index)
            theirs.lora_A[str(index)].weight.copy_(layer.bank.a[rows])
            theirs.lora_B[str(index)].weight.copy_(layer.bank.b[rows].T)


@dataclass(frozen=True)
class XLoRA:
    """X-LoRA (Buehler & Buehler 2024) as `peft` has it: LoRAs frozen, their classifier trained."""

    model: PeftModel

    def logits(self, batch: Batch) -> Tensor:
        """Return logits at the targets.

        Every call runs the base model twice: for the classifier that weighs the LoRAs, and with the
        LoRAs. A key-value cache is not possible.
        """
        kept = batch.labels.shape[1]
        return self.model(**batch.inputs, use_cache=False, logits_to_keep=kept).logits

    def loss(self, batch: Batch) -> Tensor:
        """Return what `task_loss` does."""
        logits = self.logits(batch).float().flatten(0, 1)
        labels = batch.labels.flatten()
        return F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") * batch.share

    def weights(self) -> list[nn.Parameter]:
        """Return what is trained."""
        return [weight for weight in self.model.parameters() if weight.requires_grad]


def x_lora(backbone: Backbone, mixture: Mixture) -> XLoRA:
    """Put a mixture's LoRAs into a model as X-LoRA; it reads them from folders.

    Args:
        backbone: a freshly loaded model.
        mixture: its LoRAs, in another model of the same kind.
    """
    model = backbone.model
    base = Base(
        name=backbone.name,
        revision=backbone.revision,
        family=backbone.family,
        model_type=model.config.model_type,
        fingerprint="",
        tokenizer="",
    )
    model.config.use_cache = False  # X-LoRA refuses a model that would use one
    model.requires_grad_(False)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        adapters: dict[str, str] = {}
        targets, shapes = tuple(mixture.layers), zip(*mixture.shapes(), strict=True)
        for index, (rank, alpha) in enumerate(shapes):
            path = Path(folder) / str(index)
            path.mkdir()
            held = adapter_files(base, targets, rank, alpha, mixture.lora(index))
            for name, data in held.items():
                (path / name).write_bytes(data)
            adapters[str(index)] = str(path)
        config = XLoraConfig(
            task_type="CAUSAL_LM", hidden_size=model.config.hidden_size, adapters=adapters
        )
        return XLoRA(cast(PeftModel, get_peft_model(model, config)))
