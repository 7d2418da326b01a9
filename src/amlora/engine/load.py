"""Load a base model of either family: built in, from a folder, a GGUF file or the hub.

Other people's code does it, one thread at a time, and none of it is trusted: whatever it raises
becomes one line, and what it loads must be whole and able to read a text.
"""

import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    GgufConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from amlora.engine.backbone import Backbone, positions, special_tokens
from amlora.engine.batch import collate, target_logits
from amlora.engine.builtin import BUILT_IN, quietly, require_gguf
from amlora.engine.encode import Row
from amlora.engine.fingerprint import tokenizer_fingerprint, weights_fingerprint
from amlora.engine.settings import Device, ModelSettings, Precision
from amlora.engine.source import ModelSource, check_files, commit, find_source, read_stored
from amlora.engine.whole import check_counts, check_finite, check_loaded, check_size
from amlora.errors import InputError, nearest

ALONE = threading.RLock()
"""Held while a model is loaded: transformers changes torch's defaults for the whole process then,
so a second thread that loads would find them changed, and leave them so."""
LONGEST = 400
"""Characters of a reason."""
CPU_INFO = Path("/proc/cpuinfo")
NATIVE_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}  # x86, x86, ARM, ARM
TRIAL = "Which one is it? This one or that one?"
APART = 1e-2
"""Of the largest logit: how far logits may differ that ought to be the same."""


def load_backbone(settings: ModelSettings, *, frozen: bool = True) -> Backbone:
    """Load the model and the tokenizer onto their device, in eval mode, all weights requiring grad.

    Args:
        settings: which model and how.
        frozen: the base is not trained, so its weights may be kept in bfloat16 where that is the
            precision. Otherwise the weights are float32 whatever the precision.

    Raises:
        InputError: there is no such model, it cannot be fetched or read, it is not whole, its
            tokenizer is not a fast one or has no end token, `max_tokens` exceeds what the model
            can read, it cannot answer a text, or the device is not there.
    """
    device = resolve_device(settings.device)
    precision = resolve_precision(settings.precision, device)
    with ALONE:
        source = find_source(settings)
        hint = nearest(settings.name, BUILT_IN)
        if source.path == settings.name and not Path(settings.name).is_dir():
            hint = hint or ", which is no folder here and so taken for the id of a model on the hub"
        with loading(f"load {settings.name!r}", hint):
            dtype = precision if frozen else torch.float32
            model, tokenizer = load_parts(source, settings, device, dtype)
            limit = positions(model.config)
            if limit is not None and settings.max_tokens > limit:
                raise InputError(
                    f"model.max_tokens is {settings.max_tokens} but {settings.name!r} reads at most"
                    f" {limit} tokens."
                )
            if settings.dropout is not None:
                set_dropout(model, settings.dropout)
            if settings.checkpointing:
                newer = hasattr(model, "activation_checkpointing_enable")  # its later name
                enable = (
                    model.activation_checkpointing_enable
                    if newer
                    else model.gradient_checkpointing_enable
                )
                enable({"use_reentrant": False})
            backbone = put_together(model, tokenizer, settings, precision, commit(source))
            model.to(device)  # pyright: ignore[reportArgumentType]  # its own wrapper has no type
        try_out(backbone)
    if (head := model.get_output_embeddings()) is not None:
        head.register_forward_pre_hook(contiguous)
    return backbone


def resolve_device(wanted: Device) -> torch.device:
    """Return the device to run on; an InputError where cuda is asked for and there is none."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "model.device is 'cuda' but torch sees no such device; use 'cpu' or 'auto'."
        )
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def resolve_precision(wanted: Precision, device: torch.device) -> torch.dtype:
    """Return the type of the arithmetic; auto: bfloat16 where the device has native products."""
    if wanted == "auto" and device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif wanted == "auto":
        native = cpu_multiplies_bfloat16(CPU_INFO)
    else:
        native = wanted == "bfloat16"
    return torch.bfloat16 if native else torch.float32


def cpu_multiplies_bfloat16(cpu_info: Path) -> bool:
    """Whether the processor has bfloat16 matrix instructions, as Linux lists them; False elsewhere.

    Not all versions of torch that are supported can be asked.
    """
    if platform.system() != "Linux":
        return False
    for line in cpu_info.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return not NATIVE_BFLOAT16.isdisjoint(value.split())
    return False


@contextmanager
def loading(what: str, hint: str = "") -> Iterator[None]:
    """Turn whatever a damaged or foreign model raises in other people's code into one line.

    It says what cannot be done, and then the hint.
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
        raise InputError(f"model.name: cannot {what}{hint}: {reason}") from error


def load_parts(
    source: ModelSource, settings: ModelSettings, device: torch.device, dtype: torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model that is whole, in eval mode and on the CPU, and its tokenizer."""
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
    # None: the one that transformers chooses.
    automatic = "eager" if device.type == "cpu" else None
    config._attn_implementation = automatic if settings.attention == "auto" else settings.attention
    config._experts_implementation = None
    loader = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    if stored is not None and not settings.trust_remote_code:
        quantised = stated.get("quantization_config") is not None
        check_size(loader, config, stored, quantised=quantised)
    with loading(f"load the tokenizer of {settings.name!r}"):
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


def set_dropout(model: PreTrainedModel, rate: float) -> None:
    """Set every dropout rate of a model: modules, rates kept as plain numbers, and the configs.

    Attention layers keep their rate as a number on the module (`attention_dropout`, `dropout`), so
    each float whose name holds "drop" is one; dropping whole layers ("layerdrop") is not meant.
    """
    owners: list[nn.Module | PreTrainedConfig] = [model.config]
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        config = vars(module).get("config")
        if isinstance(config, PreTrainedConfig) and config not in owners:
            owners.append(config)
        owners.append(module)
    for owner in owners:
        for name, value in list(vars(owner).items()):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if "drop" in name and "layerdrop" not in name and number:
                setattr(owner, name, rate)


def put_together(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: ModelSettings,
    precision: torch.dtype,
    revision: str,
) -> Backbone:
    """Find out what the engine must know of a loaded model, and let it stop where answers do."""
    special = special_tokens(model, tokenizer, settings.name)
    # Where the folder names other end tokens, or none, `generate` would go on after the answer.
    generation = model.generation_config or GenerationConfig()
    generation.eos_token_id = sorted(special.end_ids)
    generation.pad_token_id = special.pad_id
    if special.start_id is not None:
        generation.decoder_start_token_id = special.start_id
    model.generation_config = generation
    ends = [*generation.eos_token_id, special.pad_id]
    return Backbone(
        model=model,
        tokenizer=tokenizer,
        name=settings.name,
        revision=revision,
        settings=settings,
        precision=precision,
        **vars(special),
        fingerprint=weights_fingerprint(model.state_dict()),
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer, ends),
    )


def try_out(backbone: Backbone) -> None:
    """Run a short text with two last tokens in turn, of which no earlier logit may tell.

    A config that does not fit its code fails here, as does a model that wants more than text
    (pictures, a language to be set). One that reads ahead (BERT without `is_decoder`, XLM) sees
    each token that it is asked for, so it would learn to copy and answer nothing.

    Raises:
        InputError: the model cannot be run on text, or it reads ahead.
    """
    ids = list(dict.fromkeys(backbone.tokenizer(TRIAL).input_ids))
    if len(ids) < 3:  # a tokenizer with next to no tokens
        ids = [backbone.end_id] * 3
    *start, one, other = ids
    rows = [
        Row("", str(last), tuple(start), (start[0], last, backbone.end_id), "")
        for last in (one, other)
    ]
    name = backbone.name
    with loading(f"run {name!r} on a text"), torch.no_grad(), backbone.evaluating():
        logits = target_logits(backbone, collate(rows, backbone, share=1.0)).float()
    if logits.shape[:-1] != (2, 3) or logits.isnan().any():
        raise InputError(
            f"model.name: {name!r} gives no logits for a text: shape {tuple(logits.shape)},"
            f" {int(logits.isnan().sum())} of them not a number."
        )
    before = logits[:, :-1]  # of all tokens but the one after the last
    if (before[0] - before[1]).abs().max() > APART * logits.abs().max():
        kind = backbone.model.config.model_type
        raise InputError(
            f"model.name: {name!r} ({kind}) reads ahead, so it cannot learn to answer; it needs a"
            " causal decoder (for BERT and its like `is_decoder: true` in config.json)."
        )


def contiguous(head: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Copy the few positions that go through the language-model head next to one another.

    `logits_to_keep` cuts them out of all positions. For such a slice and a frozen weight, torch
    multiplies row by row and copies the whole (vocabulary, width) weight for each: that took half
    of a forward pass.
    """
    return (inputs[0].contiguous(), *inputs[1:])
