"""Call other people's code to load a base model, one thread at a time, and trust none of it.

Whatever it raises becomes one line, and what it loads must be whole.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from amlora.engine.builtin import BUILT_IN, quietly, require_gguf
from amlora.engine.settings import ModelSettings
from amlora.engine.source import Source, check_files, read_stored
from amlora.engine.whole import check_counts, check_finite, check_loaded, check_size
from amlora.errors import InputError, nearest

ALONE = threading.RLock()
"""Held while a model is loaded: transformers changes torch's defaults for the whole process then,
so a second thread that loads would find them changed, and leave them so."""
LONGEST = 400
"""Characters of a reason."""


@contextmanager
def loading(settings: ModelSettings, part: str = "") -> Iterator[None]:
    """Turn whatever a damaged or foreign model raises in other people's code into one line.

    Args:
        settings: name the model.
        part: of the model, where not all of it is meant.

    Raises:
        InputError: files are missing or unusable.
    """
    try:
        with quietly():
            yield
    except (InputError, MemoryError):
        raise
    except BaseException as error:
        # A panic of the tokenizers' Rust code is no `Exception`.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = " ".join(str(error).split())[:LONGEST]
        if not isinstance(error, (OSError, ValueError)) or not reason:
            reason = f"{type(error).__name__}: {reason}"
        hint = nearest(settings.name, BUILT_IN)
        what = f"{part} of {settings.name!r}" if part else f"{settings.name!r}{hint}"
        raise InputError(f"model.name: cannot load {what}: {reason}") from error


def load_parts(
    source: Source, settings: ModelSettings, device: torch.device, dtype: torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model that is whole, in eval mode and on the CPU, and its tokenizer.

    Raises:
        InputError: files that are not what they should be, or that do not belong together.
    """
    where: dict[str, Any] = {
        "revision": source.revision or "main",
        "trust_remote_code": settings.trust_remote_code,
    }
    how: dict[str, Any] = {"dtype": dtype, "use_safetensors": True}
    if source.gguf_file:
        require_gguf()
        where["gguf_file"] = source.gguf_file
        how["quantization_config"] = GgufConfig(dequantize=True)
    check_files(source)
    stated, _ = PreTrainedConfig.get_config_dict(source.path, **where)
    stored = read_stored(source, stated.get("transformers_weights"))
    if stored is not None:
        check_counts(stated, stored)
    config = AutoConfig.from_pretrained(source.path, **where)
    # What the file says of kernels does not count: it may name one to fetch from the hub and run.
    config._attn_implementation = attention(settings, device)
    config._experts_implementation = None
    loader = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    if stored is not None and not settings.trust_remote_code:
        quantised = stated.get("quantization_config") is not None
        check_size(loader, config, stored, quantised=quantised)
    with loading(settings, "the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(source.path, **where)
    # Mismatched shapes are refused below, where they can be named.
    loaded: Any = loader.from_pretrained(
        source.path,
        config=config,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **where,
        **how,
    )
    model, info = loaded
    check_loaded(model, info, stated)
    check_finite(model)
    return model.eval(), tokenizer


def attention(settings: ModelSettings, device: torch.device) -> str | None:
    """Return the attention kernel; None for the one that transformers chooses."""
    if settings.attention != "auto":
        return settings.attention
    return "eager" if device.type == "cpu" else None
