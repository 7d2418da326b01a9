"""Continual-learning methods, one file each, and the table that names them."""

import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from amlora.errors import InputError, nearest

if TYPE_CHECKING:
    from amlora.methods.base import Method

METHODS: dict[str, str] = {
    "am_lora": "amlora.methods.am_lora:AMLoRA",
    "anchored_lora": "amlora.methods.anchored_lora:AnchoredLoRA",
    "arrow_lora": "amlora.methods.arrow_lora:ArrowLoRA",
    "ewc": "amlora.methods.ewc:EWC",
    "gain_lora": "amlora.methods.gain_lora:GainLoRA",
    "inc_lora": "amlora.methods.inc_lora:IncLoRA",
    "inf_lora": "amlora.methods.inf_lora:InfLoRA",
    "l2p": "amlora.methods.l2p:L2P",
    "lfpt5": "amlora.methods.lfpt5:LFPT5",
    "mean_lora": "amlora.methods.mean_lora:MeanLoRA",
    "migu": "amlora.methods.migu:MIGU",
    "mtl": "amlora.methods.mtl:MTL",
    "n_lora": "amlora.methods.n_lora:NLoRA",
    "o_lora": "amlora.methods.o_lora:OLoRA",
    "per_task_ft": "amlora.methods.per_task_ft:PerTaskFT",
    "prog_prompt": "amlora.methods.prog_prompt:ProgPrompt",
    "replay": "amlora.methods.replay:Replay",
    "seq_ft": "amlora.methods.seq_ft:SeqFT",
    "sin_lora": "amlora.methods.sin_lora:SinLoRA",
}
"""Every method by name, as "module:Class"; other packages add theirs by the entry point group
`amlora.methods`."""


def method_names() -> list[str]:
    """Return the names of all methods, those of other packages included."""
    return sorted({*METHODS, *(point.name for point in entry_points(group="amlora.methods"))})


def method_class(name: str) -> "type[Method]":
    """Import a method.

    Raises:
        InputError: no method of that name.
    """
    if name in METHODS:
        module, _, attribute = METHODS[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    for point in entry_points(group="amlora.methods"):
        if point.name == name:
            return point.load()
    known = method_names()
    raise InputError(f"unknown method {name!r}{nearest(name, known)}; methods: {', '.join(known)}.")
