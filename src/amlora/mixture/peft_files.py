"""One LoRA of a mixture as the two files of the `peft` library, written without it.

`peft` names a layer's pair `base_model.model.<layer>.lora_A.weight` (R, D_in) and `lora_B.weight`
(D_out, R); a bank keeps B as rows (R, D_out).
"""

from pathlib import Path

import torch
from torch import Tensor

from amlora import files
from amlora.errors import InputError
from amlora.mixture.manifest import CONFIG, WEIGHTS, Base, StoredLoRA
from amlora.mixture.mixture import Mixture

TASK_TYPES = {"decoder-only": "CAUSAL_LM", "encoder-decoder": "SEQ_2_SEQ_LM"}
PYTORCH = {"format": "pt"}
"""What `peft` and transformers expect in a safetensors file's head."""


def adapter_files(mixture: Mixture, index: int, base: Base) -> dict[str, bytes]:
    """Return the contents of LoRA `index`'s files by name, at its full weight alpha / rank."""
    ranks, alphas = mixture.shapes()
    alpha = alphas[index]
    tensors: dict[str, Tensor] = {}
    for name, layer in mixture.layers.items():
        rows = layer.bank.rows(index)
        tensors[key(name, "A")] = layer.bank.a[rows]
        tensors[key(name, "B")] = layer.bank.b[rows].T
    config = {
        "peft_type": "LORA",
        "task_type": TASK_TYPES[base.family],
        "base_model_name_or_path": base.name,
        "revision": base.revision or None,
        "inference_mode": True,
        "r": ranks[index],
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "lora_dropout": 0.0,
        "target_modules": list(mixture.layers),
        "bias": "none",
        # GPT-2's Conv1D keeps its weight as (D_in, D_out).
        "fan_in_fan_out": any(
            type(layer.base).__name__ == "Conv1D" for layer in mixture.layers.values()
        ),
    }
    return {CONFIG: files.json_bytes(config), WEIGHTS: files.tensor_bytes(tensors, PYTORCH)}


def read_adapters(
    folder: Path, loras: tuple[StoredLoRA, ...], targets: tuple[str, ...]
) -> dict[str, Tensor]:
    """Read LoRAs back as the stacks of a mixture.

    Args:
        folder: the skills folder; its files have been verified.
        loras: oldest first.
        targets: the adapted layers.

    Returns:
        "<layer>.a" (K, D_in) and "<layer>.b" (K, D_out), rows of all LoRAs one after another.

    Raises:
        InputError: a tensor is missing, unknown, or not of the LoRA's rank.
    """
    blocks: dict[str, list[Tensor]] = {f"{name}.{side}": [] for name in targets for side in "ab"}
    for lora in loras:
        path = folder / lora.folder / WEIGHTS
        tensors = files.read_tensors(path)
        wanted = {key(name, side) for name in targets for side in "AB"}
        if wrong := wanted ^ tensors.keys():
            raise InputError(f"{path}: the tensor {min(wrong)!r} is missing or unknown.")
        for name in targets:
            a, b = tensors[key(name, "A")], tensors[key(name, "B")]
            if a.ndim != 2 or b.ndim != 2 or not len(a) == b.shape[1] == lora.rank:
                shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
                raise InputError(f"{path}: {name}: shapes {shapes}, but the rank is {lora.rank}.")
            blocks[f"{name}.a"].append(a)
            blocks[f"{name}.b"].append(b.T)
    # One memory layout, as in training: products over other strides round differently.
    return {name: torch.cat(rows).contiguous() for name, rows in blocks.items()}


def key(layer: str, side: str) -> str:
    """Return `peft`'s name of a layer's A or B."""
    return f"base_model.model.{layer}.lora_{side}.weight"
