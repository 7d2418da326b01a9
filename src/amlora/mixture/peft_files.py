"""One LoRA of a mixture as the two files of the `peft` library, written without it.

`peft` names a layer's pair `base_model.model.<layer>.lora_A.weight` (R, D_in) and `lora_B.weight`
(D_out, R); a bank keeps B as rows (R, D_out).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from amlora import files
from amlora.mixture.manifest import CONFIG, WEIGHTS, Base, Manifest
from amlora.mixture.tensors import Shape, check_tensors

TASK_TYPES = {"decoder-only": "CAUSAL_LM", "encoder-decoder": "SEQ_2_SEQ_LM"}
PYTORCH = {"format": "pt"}
"""What `peft` and transformers expect in a safetensors file's head."""


CONV1D = frozenset({"gpt2", "openai-gpt"})
"""Model types whose projections are `Conv1D`, which keeps its weight as (D_in, D_out)."""


def adapter_files(
    base: Base, targets: Sequence[str], rank: int, alpha: float, tensors: Mapping[str, Tensor]
) -> dict[str, bytes]:
    """Return the contents of a LoRA's files by name, at its full weight alpha / rank.

    `tensors` has "<layer>.a" (R, D_in) and "<layer>.b" (R, D_out) of each target; others may be
    among them.
    """
    stored = {key(name, "A"): tensors[f"{name}.a"] for name in targets}
    stored |= {key(name, "B"): tensors[f"{name}.b"].T for name in targets}
    config = {
        "peft_type": "LORA",
        "task_type": TASK_TYPES[base.family],
        "base_model_name_or_path": base.name,
        "revision": base.revision or None,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "lora_dropout": 0.0,
        "target_modules": list(targets),
        "bias": "none",
        "fan_in_fan_out": base.model_type in CONV1D,
    }
    return {CONFIG: files.json_bytes(config), WEIGHTS: files.tensor_bytes(stored, PYTORCH)}


def read_adapters(
    manifest: Manifest, read: Callable[[str], tuple[Path, dict[str, Tensor]]]
) -> dict[str, Tensor]:
    """Read LoRAs back; `read` returns the whole path of a manifest's file, and the tensors in it.

    Returns:
        "<layer>.a" (K, D_in) and "<layer>.b" (K, D_out), rows of all LoRAs one after another.

    Raises:
        InputError: a file is altered; a tensor is missing, unknown, not of the LoRA's rank, of
            another width than that of the LoRA before, of another dtype, or not finite.
    """
    blocks: dict[str, list[Tensor]] = {f"{n}.{side}": [] for n in manifest.targets for side in "ab"}
    widths: dict[str, Shape] = dict.fromkeys(manifest.targets, (None, None))
    for lora in manifest.loras:
        path, tensors = read(f"{lora.folder}/{WEIGHTS}")
        shapes: dict[str, Shape] = {}
        for target, (d_in, d_out) in widths.items():
            shapes |= {key(target, "A"): (lora.rank, d_in), key(target, "B"): (d_out, lora.rank)}
        check_tensors(path, tensors, shapes, manifest.dtype)
        for target in manifest.targets:
            a, b = tensors[key(target, "A")], tensors[key(target, "B")]
            widths[target] = a.shape[1], b.shape[0]
            blocks[f"{target}.a"].append(a)
            blocks[f"{target}.b"].append(b.T)
    # One memory layout, as in training: products over other strides round differently.
    return {name: torch.cat(rows).contiguous() for name, rows in blocks.items()}


def key(layer: str, side: str) -> str:
    """Return `peft`'s name of a layer's A or B."""
    return f"base_model.model.{layer}.lora_{side}.weight"
