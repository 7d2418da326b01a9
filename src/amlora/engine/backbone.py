"""A loaded base model: its tokenizer, its special tokens, and the facts the engine needs of it."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from amlora.engine.settings import ModelSettings
from amlora.errors import InputError
from amlora.mixture.inject import linear_sizes
from amlora.mixture.manifest import Base
from amlora.mixture.route import Routing

Family = Literal["encoder-decoder", "decoder-only"]


@dataclass(kw_only=True)
class SpecialTokens:
    """Token ids, all of which the model has."""

    end_ids: frozenset[int]
    """Every token at which generation stops."""
    end_id: int
    """The one that is put after an answer."""
    pad_id: int
    start_id: int | None
    """First token of the decoder; None for decoder-only models."""
    without_embedding: Mapping[int, str]
    """Tokens that the tokenizer knows and the model does not, by id; no text may give one."""


@dataclass(kw_only=True)
class Backbone(SpecialTokens):
    """A loaded base model with its tokenizer and the facts the rest of the engine needs."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    """As the settings name it."""
    revision: str
    """The hub's commit, or "" for a folder."""
    settings: ModelSettings
    precision: torch.dtype
    """float32 or bfloat16: the resolved type of the arithmetic. With bfloat16 the weights may still
    be float32; the arithmetic is then autocast."""
    fingerprint: str
    """sha256 over all weights as they were loaded."""
    tokenizer_fingerprint: str
    """sha256 over what decides a text's ids and where an answer ends."""
    routing: Routing = field(default_factory=Routing)
    """What tells the model's adapted layers which stages answer."""

    @property
    def family(self) -> Family:
        """Whether an encoder reads the prompt."""
        return "decoder-only" if self.start_id is None else "encoder-decoder"

    @property
    def autocast(self) -> bool:
        """Whether forward passes run under autocast: bfloat16 wanted, weights kept in float32."""
        return self.precision != torch.float32 and self.model.dtype == torch.float32

    def arithmetic(self) -> torch.autocast:
        """Return the context in which forward passes run."""
        return torch.autocast(self.model.device.type, self.precision, enabled=self.autocast)

    def takes(self, *names: str) -> bool:
        """Whether the model's forward has parameters of these names."""
        return {*names} <= {*inspect.signature(self.model.forward).parameters}

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


def positions(config: PreTrainedConfig) -> int | None:
    """Return how many positions a model has; None where they are relative and have no end."""
    text = config.get_text_config()
    # Not a look into `vars`: some families keep it under a name of their own.
    return text.max_position_embeddings if hasattr(text, "max_position_embeddings") else None


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


def special_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str
) -> SpecialTokens:
    """Find a model's special tokens.

    Raises:
        InputError: the tokenizer is not a fast one, there is no end token or first token, or one
            that is needed has no embedding.
    """
    end_ids = end_tokens(model, tokenizer, name)
    own, pad = number(tokenizer.eos_token_id), number(tokenizer.pad_token_id)
    end_id = min(end_ids) if own is None else own
    pad_id = end_id if pad is None else pad
    start_id = start_token(model, name) if model.config.is_encoder_decoder else None
    rows = embedded(model)
    needed = [*(("end", token) for token in sorted(end_ids)), ("pad", pad_id)]
    if start_id is not None:
        needed.append(("first", start_id))
    words = {token: word for word, token in tokenizer.get_vocab().items()}
    for what, token in needed:
        if not 0 <= token < rows:
            raise InputError(
                f"model.name: the {what} token {words.get(token, '')!r} of {name!r} has the id"
                f" {token}, but the model has {rows} embeddings; resize the model to its tokenizer"
                " (resize_token_embeddings) and save both."
            )
    beyond = {token: word for token, word in words.items() if token >= rows}
    return SpecialTokens(
        end_ids=end_ids, end_id=end_id, pad_id=pad_id, start_id=start_id, without_embedding=beyond
    )


def number(token: object) -> int | None:
    """Return an id that is one."""
    return token if isinstance(token, int) and not isinstance(token, bool) else None


def end_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str
) -> frozenset[int]:
    """Return the tokens at which the model stops: its generation config's and the tokenizer's."""
    listed = model.generation_config.eos_token_id if model.generation_config else None
    named = [*listed] if isinstance(listed, list) else [listed]
    ids = {number(token) for token in [*named, tokenizer.eos_token_id]} - {None}
    if not ids:
        raise InputError(f"model.name: {name!r} has no end token, so its answers would never end.")
    if not tokenizer.is_fast:
        raise InputError(f"model.name: {name!r} has no fast tokenizer, which amlora needs.")
    return frozenset(token for token in ids if token is not None)


def start_token(model: PreTrainedModel, name: str) -> int:
    """Return the token that the decoder starts from."""
    for config in (model.generation_config, model.config):
        token = None if config is None else number(config.decoder_start_token_id)
        if token is not None:
            return token
    raise InputError(f"model.name: {name!r} has no decoder_start_token_id.")


def embedded(model: PreTrainedModel) -> int:
    """Return how many tokens a model can both read and write."""
    rows = len(model.get_input_embeddings().get_parameter("weight"))
    head = model.get_output_embeddings()
    sizes = None if head is None else linear_sizes(head)
    return rows if sizes is None else min(rows, sizes[1])
