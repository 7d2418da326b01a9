"""Load a base model of either family: built in, from a folder, a GGUF file or the hub."""

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
from amlora.engine.source import Source, check_files, commit, find_source, read_stored
from amlora.engine.whole import check_counts, check_finite, check_loaded, check_size
from amlora.errors import InputError, nearest


def load_backbone(settings: ModelSettings, *, frozen: bool = True) -> Backbone:
    """Load the model and the tokenizer onto their device, in eval mode, all weights requiring grad.

    Args:
        settings: which model and how.
        frozen: the base is not trained, so its weights may be kept in bfloat16 where that is the
            precision. Otherwise the weights are float32 whatever the precision.

    Raises:
        InputError: there is no such model, it cannot be fetched or read, it is not whole, its
            tokenizer is not a fast one or has no end token, `max_tokens` exceeds what the model
            can read, or the device is not there.
    """
    device = resolve_device(settings.device)
    precision = resolve_precision(settings.precision, device)
    with ALONE:
        source = find_source(settings)
        with loading(settings):
            model, tokenizer = load_parts(
                source, settings, device, precision if frozen else torch.float32
            )
            check_length(model.config, settings)
            if settings.dropout is not None:
                set_dropout(model, settings.dropout)
            if settings.checkpointing:
                enable_checkpointing(model)
            backbone = put_together(model, tokenizer, settings, precision, commit(source))
            model.to(device)  # pyright: ignore[reportArgumentType]  # its own wrapper has no type
            run_once(backbone)
    if (head := model.get_output_embeddings()) is not None:
        head.register_forward_pre_hook(contiguous)
    return backbone


def put_together(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: ModelSettings,
    precision: torch.dtype,
    revision: str,
) -> Backbone:
    """Find out what the engine needs to know of a loaded model, and let it stop where answers do.

    Raises:
        InputError: see `special_tokens`.
    """
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
        family="decoder-only" if special.start_id is None else "encoder-decoder",
        name=settings.name,
        revision=revision,
        settings=settings,
        precision=precision,
        end_ids=special.end_ids,
        end_id=special.end_id,
        pad_id=special.pad_id,
        start_id=special.start_id,
        without_embedding=special.without_embedding,
        fingerprint=weights_fingerprint(model, model.state_dict()),
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer, ends),
    )


def run_once(backbone: Backbone) -> None:
    """Run the model on one token: a config that does not fit its code fails here, in one line.

    Raises:
        InputError: its logits are not numbers, or not those of a language model.
    """
    ids = torch.tensor([[backbone.end_id]], device=backbone.model.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if backbone.start_id is not None:
        inputs["decoder_input_ids"] = torch.full_like(ids, backbone.start_id)
    with torch.no_grad(), backbone.evaluating():
        logits = backbone.model(**inputs, use_cache=False).logits
    if logits.shape[:2] != (1, 1) or logits.isnan().any():
        raise InputError(
            f"model.name: {backbone.name!r} gives no logits for a token: shape"
            f" {tuple(logits.shape)}, {int(logits.isnan().sum())} of them not a number."
        )


def contiguous(head: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Copy the few positions that go through the language-model head next to one another.

    `logits_to_keep` cuts them out of all positions. For such a slice and a frozen weight, torch
    multiplies row by row and copies the whole (vocabulary, width) weight for each: that took half
    of a forward pass.
    """
    return (inputs[0].contiguous(), *inputs[1:])


def check_length(config: PreTrainedConfig, settings: ModelSettings) -> None:
    """Refuse prompts longer than the positions a model has; relative positions have no limit.

    Raises:
        InputError: max_tokens is too large.
    """
    limit = positions(config)
    if limit is not None and settings.max_tokens > limit:
        raise InputError(
            f"model.max_tokens is {settings.max_tokens} but {settings.name!r} reads at most "
            f"{limit} tokens."
        )


def enable_checkpointing(model: PreTrainedModel) -> None:
    """Recompute each layer in the backward pass; its method has another name in newer versions."""
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable({"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable({"use_reentrant": False})


def set_dropout(model: PreTrainedModel, rate: float) -> None:
    """Set every dropout rate of a model: modules, rates kept as plain numbers, and the configs.

    Attention layers keep their rate as a number on the module (`attention_dropout`, `dropout`), so
    each float whose name holds "drop" is one; dropping whole layers ("layerdrop") is not meant.
    """
    configs = [model.config]
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
        config = vars(module).get("config")
        if isinstance(config, PreTrainedConfig) and config not in configs:
            configs.append(config)
        set_rates(module, rate)
    for config in configs:
        set_rates(config, rate)


def set_rates(owner: nn.Module | PreTrainedConfig, rate: float) -> None:
    """Set each plain number among an object's own attributes that is a dropout rate."""
    for name, value in list(vars(owner).items()):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if "drop" in name and "layerdrop" not in name and number:
            setattr(owner, name, rate)


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


TEXT = "Which one is it? This one or that one?"
APART = 1e-2
"""Of the largest logit: how far logits may differ that ought to be the same."""


def try_out(backbone: Backbone) -> None:
    """Run a short row with two last tokens in turn, of which no earlier logit may tell.

    Raises:
        InputError: the model cannot be run on text, or it reads ahead.
    """
    ids = list(dict.fromkeys(backbone.tokenizer(TEXT).input_ids))
    if len(ids) < 3:
        return  # a tokenizer with next to no tokens
    *start, one, other = ids
    rows = [
        Row("", str(last), tuple(start), (start[0], last, backbone.end_id), "")
        for last in (one, other)
    ]
    name = backbone.name
    try:
        with torch.no_grad(), backbone.evaluating():
            logits = target_logits(backbone, collate(rows, backbone, share=1.0)).float()
    except Exception as error:  # whatever the family's own code raises
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"model.name: {name!r} cannot be run on a text: {reason}") from error
    before = logits[:, :-1]  # of all tokens but the one after the last
    if (before[0] - before[1]).abs().max() > APART * logits.abs().max():
        kind = backbone.model.config.model_type
        raise InputError(
            f"model.name: {name!r} ({kind}) reads ahead, so it cannot learn to answer; it needs a"
            " causal decoder (for BERT and its like `is_decoder: true` in config.json)."
        )


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
