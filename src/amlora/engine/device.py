"""Where a model runs and in which precision: what `auto` means on this machine."""

import platform
from pathlib import Path

import torch

from amlora.engine.settings import Device, Precision
from amlora.errors import InputError

CPU_INFO = Path("/proc/cpuinfo")
NATIVE_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}  # x86, x86, ARM, ARM


def resolve_device(wanted: Device) -> torch.device:
    """Return the device to run on.

    Raises:
        InputError: cuda is asked for and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "model.device is 'cuda' but torch sees no such device; use 'cpu' or 'auto'."
        )
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def resolve_precision(wanted: Precision, device: torch.device) -> torch.dtype:
    """Return the type of the arithmetic; auto: bfloat16 where the device has native products."""
    if wanted == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = cpu_multiplies_bfloat16(CPU_INFO)
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def cpu_multiplies_bfloat16(cpu_info: Path) -> bool:
    """Whether the processor has bfloat16 matrix instructions, as Linux lists them; False elsewhere.

    torch has no public question for this in all versions that are supported.
    """
    if platform.system() != "Linux":
        return False
    for line in cpu_info.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return not NATIVE_BFLOAT16.isdisjoint(value.split())
    return False
