"""Load a base model of either family: built in, from a folder, a GGUF file or the hub."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from amlora.engine.device import resolve_device, resolve_precision
from amlora.engine.fingerprint import tokenizer_fingerprint, weights_fingerprint
from amlora.engine.opening import ALONE, load_parts, loading
from amlora.engine.settings import ModelSettings
from amlora.engine.source import commit, find_source
from amlora.engine.special import special_tokens
from amlora.errors import InputError
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
    without_embedding: Mapping[int, str]
    """Tokens that the tokenizer knows and the model does not, by id; no text may give one."""
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


def positions(config: PreTrainedConfig) -> int | None:
    """Return how many positions a model has; None where they are relative and have no end."""
    text = config.get_text_config()
    # Not a look into `vars`: some families keep it under a name of their own.
    return text.max_position_embeddings if hasattr(text, "max_position_embeddings") else None


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
