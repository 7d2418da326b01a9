"""Load a base model of either family: built in, from a folder, a GGUF file or the hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError
from torch import Tensor, nn
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

from amlora.engine.builtin import BUILT_IN, built_in_folder, require_gguf, without_bars
from amlora.engine.device import resolve_device, resolve_precision
from amlora.engine.fingerprint import tokenizer_fingerprint, weights_fingerprint
from amlora.engine.settings import ModelSettings
from amlora.errors import InputError, nearest
from amlora.mixture.manifest import Base
from amlora.mixture.route import Routing

__all__ = [
    "Backbone",
    "Family",
    "ModelSettings",
    "base_of",
    "load_backbone",
    "positions",
]

Family = Literal["encoder-decoder", "decoder-only"]


@dataclass
class Backbone:
    """A loaded base model with its tokenizer and the facts the rest of the engine needs."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: Family
    name: str
    """As the settings name it."""
    revision: str
    """The hub's commit, or "" for a folder."""
    settings: ModelSettings
    precision: torch.dtype
    """float32 or bfloat16: the resolved type of the arithmetic. With bfloat16 the weights may still
    be float32; the arithmetic is then autocast."""
    end_ids: frozenset[int]
    """Every token at which generation stops."""
    end_id: int
    """The one that is put after an answer."""
    pad_id: int
    start_id: int | None
    """First token of the decoder; None for decoder-only models."""
    fingerprint: str
    """sha256 over all weights as they were loaded."""
    tokenizer_fingerprint: str
    """sha256 over what decides a text's ids and where an answer ends."""
    routing: Routing = field(default_factory=Routing)
    """What tells the model's adapted layers which stages answer."""

    @property
    def autocast(self) -> bool:
        """Whether forward passes run under autocast: bfloat16 wanted, weights kept in float32."""
        return self.precision != torch.float32 and self.model.dtype == torch.float32

    def arithmetic(self) -> torch.autocast:
        """Return the context in which forward passes run."""
        return torch.autocast(self.model.device.type, self.precision, enabled=self.autocast)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Run forward passes in eval mode, which is put back afterwards."""
        training = self.model.training
        self.model.eval()
        try:
            with self.arithmetic():
                yield
        finally:
            self.model.train(training)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model's files are, in the words of `from_pretrained`."""

    path: str
    gguf_file: str | None
    revision: str | None


def load_backbone(settings: ModelSettings, *, frozen: bool = True) -> Backbone:
    """Load the model and the tokenizer onto their device, in eval mode, all weights requiring grad.

    Args:
        settings: which model and how.
        frozen: the base is not trained, so its weights may be kept in bfloat16 where that is the
            precision. Otherwise the weights are float32 whatever the precision.

    Raises:
        InputError: there is no such model, it cannot be fetched or read, its tokenizer is not a
            fast one or has no end token, `max_tokens` exceeds what the model can read, or the
            device is not there.
    """
    device = resolve_device(settings.device)
    precision = resolve_precision(settings.precision, device)
    source = find_source(settings)
    where: dict[str, Any] = {
        "revision": source.revision or "main",
        "trust_remote_code": settings.trust_remote_code,
    }
    how: dict[str, Any] = {"dtype": precision if frozen else torch.float32}
    if settings.attention != "auto":
        how["attn_implementation"] = settings.attention
    elif device.type == "cpu":
        how["attn_implementation"] = "eager"
    if source.gguf_file:
        require_gguf()
        where["gguf_file"] = source.gguf_file
        how["quantization_config"] = GgufConfig(dequantize=True)
    with loading(settings):
        config = AutoConfig.from_pretrained(source.path, **where)
        tokenizer = AutoTokenizer.from_pretrained(source.path, **where)
        loader = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = loader.from_pretrained(source.path, **where, **how)
    check_length(config, settings)
    if settings.dropout is not None:
        set_dropout(model, settings.dropout)
    if settings.checkpointing:
        enable_checkpointing(model)
    fingerprint = weights_fingerprint(model, model.state_dict())
    model.to(device)  # pyright: ignore[reportArgumentType]  # its own wrapper has no type
    if (head := model.get_output_embeddings()) is not None:
        head.register_forward_pre_hook(contiguous)
    model.eval()
    end_ids = end_tokens(model, tokenizer, settings.name)
    end_id = min(end_ids) if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    pad_id = end_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return Backbone(
        model=model,
        tokenizer=tokenizer,
        family="encoder-decoder" if config.is_encoder_decoder else "decoder-only",
        name=settings.name,
        revision=commit(source),
        settings=settings,
        precision=precision,
        end_ids=end_ids,
        end_id=end_id,
        pad_id=pad_id,
        start_id=start_token(model, settings.name) if config.is_encoder_decoder else None,
        fingerprint=fingerprint,
        tokenizer_fingerprint=tokenizer_fingerprint(tokenizer, [*sorted(end_ids), pad_id]),
    )


def contiguous(head: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Copy the few positions that go through the language-model head next to one another.

    `logits_to_keep` cuts them out of all positions. For such a slice and a frozen weight, torch
    multiplies row by row and copies the whole (vocabulary, width) weight for each: that took half
    of a forward pass.
    """
    return (inputs[0].contiguous(), *inputs[1:])


def find_source(settings: ModelSettings) -> Source:
    """Tell a built-in name, a GGUF file, a folder and a hub id apart.

    Raises:
        InputError: a name that looks like a path and does not exist, or a folder without the file.
    """
    name, gguf_file = settings.name, settings.gguf_file
    if name in BUILT_IN:
        return Source(str(built_in_folder(name)), None, None)
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf" and not gguf_file:
        return Source(str(path.parent), path.name, None)
    if path.is_dir():
        if gguf_file and not (path / gguf_file).is_file():
            there = nearest(gguf_file, [file.name for file in path.glob("*.gguf")])
            raise InputError(f"model.gguf_file: no file {gguf_file!r} in {path}{there}.")
        return Source(str(path), gguf_file or None, None)
    looks_like_path = name.startswith((".", "~", "/")) or name.count("/") > 1 or "\\" in name
    if looks_like_path or path.suffix == ".gguf":
        raise InputError(f"model.name: there is no folder or GGUF file {name!r}.")
    return Source(name, gguf_file or None, settings.revision or None)


def commit(source: Source) -> str:
    """Return the hub's commit that a loaded model came from, or "" for a folder."""
    if Path(source.path).is_dir():
        return ""
    cached = try_to_load_from_cache(source.path, "config.json", revision=source.revision)
    return Path(cached).parent.name if isinstance(cached, str) else ""


@contextmanager
def loading(settings: ModelSettings) -> Iterator[None]:
    """Turn what `from_pretrained` raises into one line, and keep its progress bars off.

    Raises:
        InputError: files are missing or unusable.
    """
    try:
        with without_bars():
            yield
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        hint = nearest(settings.name, BUILT_IN)
        raise InputError(f"model.name: cannot load {settings.name!r}{hint}: {reason}") from error


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


def positions(config: PreTrainedConfig) -> int | None:
    """Return how many positions a model has; None where they are relative and have no end."""
    text = config.get_text_config()
    # Not a look into `vars`: some families keep it under a name of their own.
    return text.max_position_embeddings if hasattr(text, "max_position_embeddings") else None


def end_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str
) -> frozenset[int]:
    """Return the tokens at which the model stops: its generation config's and the tokenizer's.

    Raises:
        InputError: there is none.
    """
    listed = model.generation_config.eos_token_id if model.generation_config else None
    named = [*listed] if isinstance(listed, list) else [listed]
    ids = {token for token in [*named, tokenizer.eos_token_id] if isinstance(token, int)}
    if not ids:
        raise InputError(f"model.name: {name!r} has no end token, so its answers would never end.")
    if not tokenizer.is_fast:
        raise InputError(f"model.name: {name!r} has no fast tokenizer, which amlora needs.")
    return frozenset(ids)


def start_token(model: PreTrainedModel, name: str) -> int:
    """Return the token that the decoder starts from.

    Raises:
        InputError: the model names none.
    """
    for config in (model.generation_config, model.config):
        if config is not None and isinstance(config.decoder_start_token_id, int):
            return config.decoder_start_token_id
    raise InputError(f"model.name: {name!r} has no decoder_start_token_id.")


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


def base_of(backbone: Backbone) -> Base:
    """Describe the model, as it was before anything was put into it."""
    return Base(
        name=backbone.name,
        revision=backbone.revision,
        family=backbone.family,
        model_type=backbone.model.config.model_type,
        fingerprint=backbone.fingerprint,
        tokenizer=backbone.tokenizer_fingerprint,
        gguf_file=backbone.settings.gguf_file,
        max_tokens=backbone.settings.max_tokens,
    )
